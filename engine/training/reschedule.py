"""Applies changed schedule and optimizer settings to a resumed training."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytorch_lightning import LightningModule, Trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from engine.errors import UserError
from engine.training.lightning_internals import remade_optimizers

OF_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "_last_lr")
"""The state of ReduceLROnPlateau, as opposed to its settings."""

MAX_STEPS = 10_000_000
"""Scheduler steps that are repeated at most; they take a few microseconds each."""


class Done(NamedTuple):
    """Optimizer steps and epochs before the resume, and the saved states of the schedulers."""

    steps: int
    epochs: int
    schedules: Sequence[Mapping[str, Any]]


def reschedule(
    trainer: Trainer,
    module: LightningModule,
    done: Done,
    *,
    keeps_rate: bool,
    same_interval: bool,
    same_settings: bool,
) -> None:
    """Gives optimizers and schedulers the state they would have after as many steps with the current settings.

    They are built again, the schedulers are stepped as often as those of the checkpoint, and both replace the ones in
    use. ReduceLROnPlateau cannot be repeated without its metric, so it keeps its state and, with `keeps_rate`, its
    current rate. With `same_settings`, only the length of the training may have changed: an optimizer without a
    scheduler then keeps all of its settings, which callbacks may have changed.
    """
    optimizers, configs = remade_optimizers(module)
    scheduled: set[int] = set()
    reached: set[int] = set()  # optimizers that keep their rate
    for index, (config, made) in enumerate(zip(trainer.lr_scheduler_configs, configs, strict=True)):
        saved = done.schedules[index] if index < len(done.schedules) else {}
        number = optimizers.index(made.scheduler.optimizer)
        scheduled.add(number)
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
        if same_settings and number not in scheduled:
            continue
        for group, settings in zip(optimizer.param_groups, new.param_groups, strict=False):
            kept = {"params", "lr"} if number in reached else {"params"}
            group.update({key: value for key, value in settings.items() if key not in kept})


def _advance(scheduler: Any, times: int) -> None:
    if times > MAX_STEPS:
        raise UserError(
            f"The checkpoint's schedule has made {times:,} steps, too many to repeat with other settings: keep its "
            "settings, or give init_from=RUN to start a new run from its weights."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about scheduler steps without optimizer steps
        for _ in range(times):
            scheduler.step()


def _attached(scheduler: Any, optimizer: Any) -> Any:
    """Moves a scheduler and its inner ones to another optimizer with the same groups."""
    for inner in getattr(scheduler, "_schedulers", ()):
        _attached(inner, optimizer)
    scheduler.optimizer = optimizer
    return scheduler
