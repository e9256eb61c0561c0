"""Base classes of callbacks that show an evaluation."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from engine.training.each_process import of_each_process, of_this_process

PENDING = "not_shown_yet"
"""The checkpoint's key for the states of these callbacks."""


class EvaluationCallback(Callback):
    """Collects the outputs of validation or test steps, and shows them once at the end.

    To save time, only the first, second, fourth, eighth … and last validation are shown; of several validations within
    an epoch, the last. The choice depends only on the epoch, so a resumed run shows the same ones.

    Evaluation steps must return outputs (N, num_classes), and batches must start with inputs and labels (N,).
    """

    follows_chunks = True

    is_last_alone: ClassVar[bool] = False
    """Whether only the last validation is shown."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Required members of the datamodule; without them nothing is collected or shown."""

    keeps: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold the collected data."""

    _is_pending = _is_unfit = False

    def takes(self, scores: Any, labels: Any) -> bool:
        """Whether a batch's scores and labels have the required shapes."""
        return True

    def read(self, module: Any, outputs: Any, labels: Any) -> Any:
        """Converts a batch's outputs to the scores that `collect` takes."""
        return outputs

    def collect(self, scores: Any, labels: Any) -> None:
        """Adds a batch's scores and labels."""
        raise NotImplementedError

    def show(self, trainer: Trainer, split: str) -> None:
        """Shows the collected data of `split` (val, test)."""
        raise NotImplementedError

    def forget(self) -> None:
        """Deletes the collected data."""
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
        if dataloader_idx:  # only the first loader has the split's examples
            return
        if is_labelled and all(hasattr(datamodule, name) for name in self.needs) and self.takes(outputs, batch[1]):
            self.collect(self.read(pl_module, outputs, batch[1]), batch[1])
        else:
            self._is_unfit = True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """If saved within an epoch, stores the results of its last validation, which are shown at the epoch's end."""
        if self._is_pending and trainer.training:
            state = {name: getattr(self, name) for name in ("_is_unfit", *self.keeps)}
            checkpoint.setdefault(PENDING, {})[self.state_key] = of_each_process(state)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if state := of_this_process(checkpoint.get(PENDING, {}).get(self.state_key)):
            self._is_pending = True
            for name in ("_is_unfit", *self.keeps):
                setattr(self, name, state[name])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_pending = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Only now, not at the end of the validation, is it known whether training continues. This runs before the
        # epoch's checkpoint is saved, so a run resumed from it need not show the validation again.
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
    """Whether these are scores (N, num_classes) and class indices (N,)."""
    if not (isinstance(scores, Tensor) and isinstance(labels, Tensor)) or labels.is_floating_point():
        return False
    return scores.ndim == 2 and labels.shape == scores.shape[:1]


class PredictionCallback(EvaluationCallback):
    """Collects class probabilities, as computed by the procedure's `probabilities`."""

    needs: ClassVar[tuple[str, ...]] = ("classes", "labels")
    keeps: ClassVar[tuple[str, ...]] = ("_predictions",)

    def takes(self, scores: Any, labels: Any) -> bool:
        return one_label_each(scores, labels)

    def __init__(self) -> None:
        self._predictions: list[Tensor] = []

    @property
    def probabilities(self) -> Tensor:
        """All collected probabilities (N, num_classes)."""
        return torch.cat(self._predictions)

    def read(self, module: Any, outputs: Any, labels: Any) -> Any:
        # Multi-label steps already return probabilities.
        return outputs.float() if labels.ndim == 2 else module.probabilities(outputs.float())

    def collect(self, probabilities: Tensor, labels: Tensor) -> None:
        self._predictions.append(probabilities.cpu())

    def forget(self) -> None:
        self._predictions.clear()


def indices_in_split(trainer: Trainer, positions: Iterable[int]) -> list[int]:
    """Indices in the split of the photos at `positions` in the first process, which evaluates every world_size-th one.

    With several processes, only the first shows its photos.
    """
    return [position * trainer.world_size for position in positions]


def number_of_validation(trainer: Trainer) -> int:
    """At the end of a training epoch with a validation: the number of such epochs so far, including this one."""
    return (trainer.current_epoch + 1) // (trainer.check_val_every_n_epoch or 1)


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def no_validation_follows(trainer: Trainer) -> bool:
    """At the end of a training epoch: whether the training ends before the next epoch with a validation."""
    max_epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
    next_epoch = trainer.current_epoch + 1 + (trainer.check_val_every_n_epoch or 1)  # counted from 1
    return trainer.should_stop or 0 <= max_epochs < next_epoch
