"""Converts the config's learning rate schedule to Lightning's form."""

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
    """`scheduler(optimizer)` sets the learning rate and is stepped after each `interval`; None: it is constant.

    `monitor` is the metric that ReduceLROnPlateau, and only that, receives after each epoch.
    """

    interval: Literal["epoch", "step"]
    scheduler: Callable[..., LRScheduler] | None
    monitor: NotRequired[str | None]


def lr_scheduler_config(schedule: Schedule, optimizer: Optimizer, total_steps: Callable[[], int]) -> dict[str, Any]:
    """Lightning's `lr_scheduler` dictionary; UserError if the parts of the schedule do not fit together.

    `total_steps` returns the number of optimizer steps of the whole training, for schedulers with `total_steps: null`.
    """
    factory, interval, monitor = schedule["scheduler"], schedule["interval"], schedule.get("monitor")
    assert factory is not None
    spans_training = getattr(factory, "keywords", {}).get("total_steps", 0) is None
    scheduler = factory(optimizer, total_steps=total_steps()) if spans_training else factory(optimizer)
    name = type(scheduler).__name__
    if isinstance(scheduler, ReduceLROnPlateau):
        if monitor is None:
            raise UserError(f"scheduler.monitor: {name} needs a metric, such as scheduler.monitor=val/loss.")
        if interval != "epoch":
            raise UserError(f"scheduler.interval={interval}: {name} uses a metric of the epoch: give epoch.")
        # `step_at_epoch_end` steps it, also with chunks and before the first validation, where Lightning would not.
        return {"scheduler": scheduler, "interval": interval, "monitor": monitor, "frequency": sys.maxsize}
    if monitor is not None:
        raise UserError(f"scheduler.monitor={monitor}: {name} uses no metric: give scheduler.monitor=null.")
    if isinstance(scheduler, CosineAnnealingLR) and scheduler.T_max < 1:
        raise UserError(
            f"scheduler.scheduler.T_max={scheduler.T_max}: the cosine needs a length: give trainer.max_epochs, or "
            "scheduler.interval=step and the number of steps as scheduler.scheduler.T_max."
        )
    return {"scheduler": scheduler, "interval": interval}


def step_at_epoch_end(
    trainer: Trainer, monitor: str | None, metrics: Mapping[str, float], *, in_chunks: bool, validated: bool
) -> None:
    """Steps a scheduler that uses `monitor` and, with chunks, any other whose interval is the epoch.

    If a validation metric is missing because there was no validation yet, the rate is unchanged.
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
    """The number of optimizer steps of the whole training, including finished epochs, whose sizes may differ.

    UserError if it is not determined by the Trainer and the data.
    """
    steps: float = trainer.max_steps
    if trainer.max_epochs != -1 or steps == -1:  # otherwise no data is needed, and Lightning may not have any yet
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
    before = trainer.global_step - begun // trainer.accumulate_grad_batches  # in earlier epochs, whose sizes may differ
    in_all = before + in_epoch * (trainer.max_epochs - trainer.current_epoch)
    return in_all if trainer.max_steps == -1 else min(in_all, trainer.max_steps)
