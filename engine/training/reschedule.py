"""Learning rates and optimizer settings of a training that continues with other settings than it began with."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytorch_lightning import LightningModule, Trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from engine.training.lightning_internals import remade_optimizers

OF_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "_last_lr")
"""What ReduceLROnPlateau has seen, as opposed to its settings."""


class Done(NamedTuple):
    """What was done before: optimizer steps, epochs, and the saved states of the schedulers."""

    steps: int
    epochs: int
    schedules: Sequence[Mapping[str, Any]]


def reschedule(trainer: Trainer, module: LightningModule, done: Done, *, keeps_rate: bool, same_interval: bool) -> None:
    """Gives optimizers and schedulers the state that a training with today's settings would have after as many steps.

    They are made once more, and the schedulers stepped as often as those of the checkpoint were; they and their
    settings replace the ones in use. ReduceLROnPlateau cannot be repeated without its metric: it keeps what it has
    seen, and with `keeps_rate` the rate that it has reached.
    """
    optimizers, configs = remade_optimizers(module)
    reached: set[int] = set()  # optimizers that keep their rate
    for index, (config, made) in enumerate(zip(trainer.lr_scheduler_configs, configs, strict=True)):
        saved = done.schedules[index] if index < len(done.schedules) else {}
        number = optimizers.index(made.scheduler.optimizer)
        is_plateau = "num_bad_epochs" in saved
        if isinstance(made.scheduler, ReduceLROnPlateau):
            seen = {key: saved[key] for key in OF_PLATEAU if key in saved and is_plateau}
            config.scheduler.load_state_dict({**made.scheduler.state_dict(), **seen})
            if seen and keeps_rate:
                reached.add(number)
            continue
        stepped = done.steps if config.interval == "step" else done.epochs
        times = int(saved["last_epoch"]) if saved and same_interval and not is_plateau else stepped // config.frequency
        _advance(made.scheduler, int(times))
        config.scheduler = _attached(made.scheduler, trainer.optimizers[number])
    for number, (optimizer, new) in enumerate(zip(trainer.optimizers, optimizers, strict=True)):
        for group, settings in zip(optimizer.param_groups, new.param_groups, strict=False):
            kept = {"params", "lr"} if number in reached else {"params"}
            group.update({key: value for key, value in settings.items() if key not in kept})


def _advance(scheduler: Any, times: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of steps of the scheduler without any of the optimizer
        for _ in range(times):
            scheduler.step()


def _attached(scheduler: Any, optimizer: Any) -> Any:
    """The scheduler, and those that it is made of, on another optimizer with the same groups."""
    for inner in getattr(scheduler, "_schedulers", ()):
        _attached(inner, optimizer)
    scheduler.optimizer = optimizer
    return scheduler
