"""Training throughput."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs `train/images_per_second` of this process for each epoch, excluding validation.

    Needs a module that counts its `examples_seen` (engine/training/accounted_module.py).
    """

    follows_chunks = True

    def __init__(self) -> None:
        self.examples = 0
        self.seconds = 0.0
        self._validation_seconds = 0.0

    @property
    def images_per_second(self) -> float | None:
        """The mean over all epochs so far."""
        return self.examples / self.seconds if self.seconds else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # training may resume inside an epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.monotonic()
        self._validation_seconds = 0.0
        self._seen_before: int = getattr(pl_module, "examples_seen", 0)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_started = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_seconds += time.monotonic() - self._validation_started

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        examples: int = getattr(pl_module, "examples_seen", 0) - self._seen_before
        if not examples:
            return
        seconds = time.monotonic() - self._started - self._validation_seconds
        self.examples += examples
        self.seconds += seconds
        log_now: Any = pl_module.log_now
        log_now({"train/images_per_second": examples / seconds})
