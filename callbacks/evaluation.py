"""What the callbacks that show an evaluation share."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class EvaluationCallback(Callback):
    """Collects what the validation or test steps return, and shows it once at the end.

    For a procedure whose steps return scores (N, num_classes), on batches of inputs and labels (N,).
    """

    def collect(self, scores: Any, labels: Any) -> None:
        """Takes one batch's scores and labels."""
        raise NotImplementedError

    def show(self, trainer: Trainer, split: str) -> None:
        """Shows what was collected of `split` (val, test), and forgets it."""
        raise NotImplementedError

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.collect(outputs, batch[1])

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.collect(outputs, batch[1])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.show(trainer, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.show(trainer, "test")
