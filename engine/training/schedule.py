"""Learning rate schedules: what the config says about one, made into what Lightning takes."""

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pytorch_lightning import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau
from typing_extensions import NotRequired, TypedDict

from engine.errors import UserError


class Schedule(TypedDict):
    """The learning rate is set by `scheduler(optimizer)`, stepped after each `interval`; None: it stays constant.

    `monitor` names the metric that ReduceLROnPlateau, and no other scheduler, is given at the end of each epoch.
    """

    interval: Literal["epoch", "step"]
    scheduler: Callable[..., LRScheduler] | None
    monitor: NotRequired[str | None]


def lr_scheduler_config(schedule: Schedule, optimizer: Optimizer, total_steps: Callable[[], int]) -> dict[str, Any]:
    """Lightning's `lr_scheduler` dictionary; UserError where the parts of the schedule do not fit each other.

    `total_steps` returns the optimizer steps of the whole training. Only a scheduler with `total_steps: null` asks it.
    """
    factory, interval, monitor = schedule["scheduler"], schedule["interval"], schedule.get("monitor")
    assert factory is not None
    spans_training = getattr(factory, "keywords", {}).get("total_steps", 0) is None
    scheduler = factory(optimizer, total_steps=total_steps()) if spans_training else factory(optimizer)
    name = type(scheduler).__name__
    if isinstance(scheduler, ReduceLROnPlateau):
        if monitor is None:
            raise UserError(f"scheduler.monitor: {name} needs a metric to look at: scheduler.monitor=val/loss, say.")
        if interval != "epoch":
            raise UserError(f"scheduler.interval={interval}: {name} looks at a metric of an epoch: give epoch.")
        # Lightning would step it after the epoch's checkpoint is saved: `step_at_epoch_end` does it before.
        return {"scheduler": scheduler, "interval": interval, "monitor": monitor, "frequency": sys.maxsize}
    if monitor is not None:
        raise UserError(f"scheduler.monitor={monitor}: {name} looks at no metric: give scheduler.monitor=null.")
    if isinstance(scheduler, CosineAnnealingLR) and scheduler.T_max < 1:
        raise UserError(
            f"scheduler.scheduler.T_max={scheduler.T_max}: the cosine needs a length: give trainer.max_epochs, or "
            "scheduler.interval=step and the number of steps as scheduler.scheduler.T_max."
        )
    return {"scheduler": scheduler, "interval": interval}


def step_at_epoch_end(
    trainer: Trainer, monitor: str | None, metrics: Mapping[str, float], *, in_chunks: bool, validated: bool
) -> None:
    """Steps a scheduler that looks at `monitor`, and in chunks any other whose interval is the epoch.

    Where a validation's metric is missing because none has run yet, the rate stays as it is.
    """
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, ReduceLROnPlateau) and monitor is not None:
            if monitor in metrics:
                config.scheduler.step(metrics[monitor])
            elif validated or not monitor.startswith("val/"):
                there = ", ".join(sorted(metrics))
                raise UserError(f"scheduler.monitor={monitor}: no such metric was logged; there are {there}.")
        elif in_chunks and config.interval == "epoch":
            config.scheduler.step()  # type: ignore[call-arg]


def training_steps(trainer: Trainer, *, in_chunks: bool) -> int:
    """Optimizer steps of the whole training, those that are done included, whatever size their epochs had.

    UserError if the Trainer and the data do not say how many.
    """
    steps: float = trainer.max_steps
    if trainer.max_epochs != -1 or steps == -1:  # otherwise Lightning may have no data yet, and needs none
        steps = trainer.estimated_stepping_batches
    if steps in (-1, float("inf")):
        wanted = "trainer.max_epochs" if trainer.max_epochs == -1 else "trainer.max_steps, as the data has no length"
        raise UserError(
            f"trainer.max_epochs={trainer.max_epochs}, trainer.max_steps={trainer.max_steps}: a schedule over "
            f"the whole training needs its number of steps: give {wanted}."
        )
    if trainer.max_epochs in (-1, None) or not math.isfinite(trainer.num_training_batches):
        return int(steps)
    loader: Any = trainer.train_dataloader
    if in_chunks:
        in_epoch = min(loader.num_batches, int(trainer.num_training_batches) * loader.chunk)
    else:
        in_epoch = math.ceil(int(trainer.num_training_batches) / trainer.accumulate_grad_batches)
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    begun = progress.processed * (loader.chunk if in_chunks else 1)
    before = trainer.global_step - begun // trainer.accumulate_grad_batches  # epochs that may have had other sizes
    in_all = before + in_epoch * (trainer.max_epochs - trainer.current_epoch)
    return in_all if trainer.max_steps == -1 else min(in_all, trainer.max_steps)
