"""Points of curves over optimizer steps that do not make a GPU wait."""

import time
from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

SECONDS = 2.0  # that a point on a GPU may wait; long enough to cost nothing, short enough to watch a training


class StepPoints(Callback):
    """Base class of callbacks that log scalars at some optimizer steps within an epoch.

    Reading a scalar from a GPU waits for all work queued there. Such points are therefore collected, and written every
    `SECONDS` and before a validation, a checkpoint and the end of the epoch. On the CPU they are written at once.
    """

    follows_chunks = True  # engine/training/steps/chunks.py

    def __init__(self) -> None:
        self._points: list[tuple[int, Mapping[str, Tensor | float]]] = []
        self._written = 0.0

    def add_point(self, trainer: Trainer, pl_module: LightningModule, point: Mapping[str, Tensor | float]) -> None:
        """Adds a point at the current step."""
        self._points.append((trainer.global_step, point))
        waits = any(isinstance(value, Tensor) and is_on_gpu(value) for value in point.values())
        if not waits or time.monotonic() - self._written > SECONDS:
            self.write_points(trainer, pl_module)

    def write_points(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes all points to the loggers."""
        for step, point in self._points:
            scalars = {name: float(value) for name, value in point.items()}
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step=step)
        self._points.clear()
        self._written = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write_points(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write_points(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.write_points(trainer, pl_module)


def is_on_gpu(value: Tensor) -> bool:
    return value.device.type != "cpu"
