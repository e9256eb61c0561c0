"""Training throughput."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs `train/images_per_second` of this process for each epoch, excluding validation.

    For the whole run, resumed or not, the time spent computing its features is included (engine/features/features.py).
    Needs a module that counts its `examples_seen` (engine/training/accounted_module.py).
    """

    follows_chunks = True

    def __init__(self) -> None:
        self.examples = 0
        self.seconds = 0.0
        self._validation_seconds = 0.0
        self._started: float | None = None

    @property
    def images_per_second(self) -> float | None:
        """The mean over all epochs so far."""
        return self.examples / self.seconds if self.seconds else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds += getattr(getattr(trainer, "datamodule", None), "seconds_of_features", 0.0)
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
        examples, seconds = self._in_epoch(pl_module)
        self._started = None
        if not examples:
            return
        self.examples += examples
        self.seconds += seconds
        log_now: Any = pl_module.log_now
        log_now({"train/images_per_second": examples / seconds})

    def _in_epoch(self, pl_module: LightningModule) -> tuple[int, float]:
        """Examples and seconds of the current epoch so far; zeros between epochs."""
        if self._started is None:
            return 0, 0.0
        examples: int = getattr(pl_module, "examples_seen", 0) - self._seen_before
        return examples, time.monotonic() - self._started - self._validation_seconds

    # Not by state_dict: two runs of one config have bit-identical callback states, but not the same times.

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        examples, seconds = self._in_epoch(pl_module)
        checkpoint["throughput"] = {"examples": self.examples + examples, "seconds": self.seconds + seconds}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        before = checkpoint.get("throughput", {})
        self.examples, self.seconds = before.get("examples", 0), before.get("seconds", 0.0)
