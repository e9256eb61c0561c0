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

    For a procedure whose steps return outputs (N, num_classes), on batches of inputs, labels (N,) and whatever
    else.
    """

    follows_chunks = True

    is_last_alone: ClassVar[bool] = False
    """Whether it shows of the validations the last one alone."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Members of the datamodule without which nothing is collected, and so nothing shown."""

    _is_pending = _is_unfit = False

    def takes(self, scores: Any, labels: Any) -> bool:
        """Whether one batch's scores and labels are of the kind that is shown."""
        return True

    def read(self, module: Any, outputs: Any, labels: Any) -> Any:
        """What `collect` gets of a batch's outputs."""
        return outputs

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
        self._is_unfit = False
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
        datamodule = getattr(trainer, "datamodule", None)
        is_labelled = isinstance(batch, list | tuple) and len(batch) > 1
        if dataloader_idx:  # the first loader alone has the split's examples
            return
        if is_labelled and all(hasattr(datamodule, name) for name in self.needs) and self.takes(outputs, batch[1]):
            self.collect(self.read(pl_module, outputs, batch[1]), batch[1])
        else:
            self._is_unfit = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_pending = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the validation's end: only now it is known whether the training goes on. And before the epoch's
        # checkpoint is saved, so that a run that goes on from it need not show it again.
        is_one_of_some = not self.is_last_alone and is_power_of_two(number_of_validation(trainer))
        if self._is_pending and not self._is_unfit and (is_one_of_some or no_validation_follows(trainer)):
            self.show(trainer, "val")
        self._is_pending = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_unfit = False
        self.forget()

    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_unfit:
            self.show(trainer, "test")


def one_label_each(scores: Any, labels: Any) -> bool:
    """Whether these are scores (N, num_classes) and the indices (N,) of the true classes."""
    if not (isinstance(scores, Tensor) and isinstance(labels, Tensor)) or labels.is_floating_point():
        return False
    return scores.ndim == 2 and labels.shape == scores.shape[:1]


class PredictionCallback(EvaluationCallback):
    """Collects the classes' probabilities, as the procedure itself makes them of its outputs."""

    needs: ClassVar[tuple[str, ...]] = ("classes", "labels")

    def takes(self, scores: Any, labels: Any) -> bool:
        return one_label_each(scores, labels)

    def __init__(self) -> None:
        self._predictions: list[Tensor] = []

    @property
    def probabilities(self) -> Tensor:
        """All that were collected, (N, num_classes)."""
        return torch.cat(self._predictions)

    def read(self, module: Any, outputs: Any, labels: Any) -> Any:
        # Steps on several labels at once return probabilities already.
        return outputs.float() if labels.ndim == 2 else module.probabilities(outputs.float())

    def collect(self, probabilities: Tensor, labels: Tensor) -> None:
        self._predictions.append(probabilities.cpu())

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
