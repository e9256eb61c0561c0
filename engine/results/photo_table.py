"""What an evaluation said of each photo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from engine.protocols import PredictsClasses


class PhotoRow(NamedTuple):
    """A photo, the index of its class, and the probability of each class."""

    file: Path
    label: int
    probabilities: list[float]


class PhotoTable(Callback):
    """Collects the probabilities that the evaluation steps of `split` (val, test) return, in the order of the photos.

    `rows` is empty for data without files, several processes, several labels per photo, and steps that return anything
    but outputs (N, num_classes).
    """

    def __init__(self, split: str) -> None:
        self.split = split
        self._probabilities: list[Tensor] = []
        self._is_unfit = False

    def _collect(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *batch: Any) -> None:
        fits = isinstance(outputs, Tensor) and outputs.ndim == 2 and trainer.world_size == 1
        if self._is_unfit or not fits or not isinstance(pl_module, PredictsClasses) or pl_module.several:
            self._is_unfit = True
        else:
            self._probabilities.append(pl_module.probabilities(outputs.float()).cpu())

    on_validation_batch_end = on_test_batch_end = _collect  # type: ignore[assignment]

    def rows(self, datamodule: Any) -> Sequence[PhotoRow]:
        """With the files of a datamodule, or of the photos whose features it has."""
        photos = getattr(getattr(datamodule, "photos", datamodule), self.split, None)
        files, labels = getattr(photos, "files", None), getattr(photos, "labels", None)
        if self._is_unfit or not self._probabilities or files is None or labels is None:
            return ()
        probabilities = torch.cat(self._probabilities).tolist()
        if len(probabilities) != len(files):  # some batches alone
            return ()
        return [PhotoRow(*row) for row in zip(files, labels, probabilities, strict=True)]
