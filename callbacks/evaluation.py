"""What the callbacks that show an evaluation share."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor


class EvaluationCallback(Callback):
    """Collects what the validation or test steps return, and shows it once at the end.

    Of a training's validations it shows the first, the second, the fourth and so on, and the last: pictures take time.
    Of several validations in one epoch that is the epoch's last one. Which are shown follows from the epoch alone, so
    that a resumed run shows the same.

    For a procedure whose steps return scores (N, num_classes), on batches of inputs and labels (N,).
    """

    follows_chunks = True

    is_last_alone: ClassVar[bool] = False
    """Whether it shows of the validations the last one alone."""

    _is_pending = False

    def collect(self, scores: Any, labels: Any) -> None:
        """Takes one batch's scores and labels."""
        raise NotImplementedError

    def show(self, trainer: Trainer, split: str) -> None:
        """Shows what was collected of `split` (val, test)."""
        raise NotImplementedError

    def forget(self) -> None:
        """Forgets what was collected."""
        raise NotImplementedError

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.forget()

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

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_pending = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the validation's end: only now it is known whether the training goes on. And before the epoch's
        # checkpoint is saved, so that a run that goes on from it need not show it again.
        is_one_of_some = not self.is_last_alone and is_power_of_two(number_of_validation(trainer))
        if self._is_pending and (is_one_of_some or no_validation_follows(trainer)):
            self.show(trainer, "val")
        self._is_pending = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.forget()

    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.show(trainer, "test")


class PredictionCallback(EvaluationCallback):
    """Collects the probabilities of the classes, which a softmax makes of the scores."""

    def __init__(self) -> None:
        self._predictions: list[Tensor] = []

    @property
    def probabilities(self) -> Tensor:
        """All that were collected, (N, num_classes)."""
        return torch.cat(self._predictions)

    def collect(self, scores: Tensor, labels: Tensor) -> None:
        self._predictions.append(scores.float().softmax(dim=1).cpu())

    def forget(self) -> None:
        self._predictions.clear()


def indices_in_split(trainer: Trainer, positions: Iterable[int]) -> list[int]:
    """Where in the split the photos are that this process evaluated as its `positions`-th: it has every world_size-th.

    Of several processes it is the first that shows what it evaluated.
    """
    return [position * trainer.world_size for position in positions]


def number_of_validation(trainer: Trainer) -> int:
    """At the end of a training epoch with a validation: how many epochs with one there were, this one included."""
    return (trainer.current_epoch + 1) // (trainer.check_val_every_n_epoch or 1)


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def no_validation_follows(trainer: Trainer) -> bool:
    """At the end of a training epoch: whether the training ends before the next epoch with a validation."""
    max_epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
    next_epoch = trainer.current_epoch + 1 + (trainer.check_val_every_n_epoch or 1)  # counted from 1
    return trainer.should_stop or 0 <= max_epochs < next_epoch
