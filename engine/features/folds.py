"""Repeated k-fold cross-validation on cached features."""

import copy
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from engine.data.balance import random_order
from engine.data.chunk import Batch, takes_chunks
from engine.data.keyed import keyed_generator
from engine.data.stratified_folds import stratified_folds
from engine.data.tensor_loader import TensorDataLoader
from engine.features.features import EVAL_BATCH_SIZE, Features, view_of_epoch
from engine.protocols import LooksAtItself, PhotoData

ChoosesBy = Literal["acc", "loss"]


class Folds(Features):
    """Repeated stratified k-fold cross-validation: `num_folds` · `num_repeats` heads, each with one fold held out.

    In each repeat, the photos of both splits are divided into `num_folds` folds, keyed by (seed, repeat); head
    repeat · num_folds + fold trains on all folds but its own. Training batches serve all heads at once (`FoldLoader`).
    Validation batches are features (N, D) under the evaluation transform, labels (N,), and the heads (N, num_repeats)
    that each photo is held out from.

    With `choose_epoch_by`, a head does not train on the fold after its own either: its best epoch is chosen on that
    fold. Validation batches then end with the heads (N, num_repeats) whose epoch each photo helps to choose.
    """

    def __init__(
        self,
        *,
        photos: PhotoData,
        num_folds: Annotated[int, Ge(2)],
        num_repeats: Annotated[int, Ge(1)],
        choose_epoch_by: ChoosesBy | None,
        **features: Any,
    ) -> None:
        if choose_epoch_by is not None and num_folds < 3:
            raise ValueError("choose_epoch_by needs num_folds of at least 3: for training, choice and evaluation")
        super().__init__(photos=pooled(photos), **features)
        self.choose_epoch_by = choose_epoch_by
        self.num_folds = num_folds
        self.num_repeats = num_repeats
        self.counts = lambda: {"photos": len(self.photos.val), "folds": num_folds, "repeats": num_repeats}

    def setup(self, stage: str) -> None:
        labels = torch.tensor(self.photos.val.labels)
        repeats = [
            repeat * self.num_folds + stratified_folds(labels, self.num_folds, seed=self.photos.seed, repeat=repeat)
            for repeat in range(self.num_repeats)
        ]
        self.held_out = torch.stack(repeats, dim=1)
        self.choosing = heads_before(self.held_out, self.num_folds)
        super().setup(stage)

    def train_dataloader(self) -> TensorDataLoader:
        photos = self.photos
        return FoldLoader(
            self.features["train"],
            torch.tensor(photos.train.labels),
            self.held_out if self.choose_epoch_by is None else torch.cat([self.held_out, self.choosing], dim=1),
            batch_size=photos.batch_size,
            # With `overfit_batches`, every epoch repeats the same batches.
            shuffle=self.trainer is None or not self.trainer.overfit_batches,  # type: ignore[attr-defined]
            seed=photos.seed,
            chunk=self.chunk if takes_chunks(self.trainer) else 1,
            is_balanced=getattr(photos, "balance", None) == "sampler",
        )

    def val_dataloader(self) -> TensorDataLoader:
        return TensorDataLoader(
            self.features["val"],
            torch.tensor(self.photos.val.labels),
            self.held_out,
            *([] if self.choose_epoch_by is None else [self.choosing]),
            batch_size=EVAL_BATCH_SIZE,
            shuffle=False,
            seed=self.photos.seed,
            transform=view_of_epoch,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )


class FoldLoader(TensorDataLoader):
    """Mini-batches for all F heads at once: features (F, B, D) in the epoch's view and labels (F, B).

    Each head's order is keyed by (seed, epoch, head). Training parts differ in size by at most one photo; the larger
    ones drop the last photo of their order in each epoch, so all heads take the same number of steps.

    Args:
        features: (N, views, D) of all photos.
        labels: (N,).
        held_out: (N, K), the heads that each photo is held out from.
        shuffle: draw new orders each epoch; False: repeat those of the first epoch.
        is_balanced: draw about equally many examples of each class in each head's epoch.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        held_out: Tensor,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        chunk: int,
        is_balanced: bool = False,
    ) -> None:
        super().__init__(features, labels, batch_size=batch_size, shuffle=shuffle, seed=seed, chunk=chunk)
        heads = range(int(held_out.max()) + 1)
        self.is_balanced = is_balanced
        self.training_parts = [(held_out != head).all(1).nonzero().flatten() for head in heads]
        self.size = min(map(len, self.training_parts))

    def _share_size(self) -> int:
        return self.size

    def _order(self, epoch: int) -> Tensor:
        """Indices (size, F), one column per head."""
        epoch = epoch if self.shuffle else 0
        labels = self.tensors[1]
        orders = [
            part[
                random_order(
                    len(part),
                    labels[part] if self.is_balanced else None,
                    keyed_generator(self.seed, epoch, head),
                )
            ][: self.size]
            for head, part in enumerate(self.training_parts)
        ]
        return torch.stack(orders, dim=1)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        features, labels = self.tensors
        views = features.shape[1]
        flat = features.flatten(0, 1)  # (photo, view)
        for rows in self._order(epoch)[start:].split(self.batch_size):
            indices = rows.T
            looks = flat.index_select(0, (indices * views + epoch % views).flatten())
            yield looks.view(*indices.shape, -1), labels[indices]


def heads_before(heads: Tensor, num_folds: int) -> Tensor:
    """For each head repeat · num_folds + fold, the head of the preceding fold (cyclic) of the same repeat."""
    fold = heads % num_folds
    return heads - fold + (fold - 1) % num_folds


def pooled(photos: PhotoData) -> PhotoData:
    """A copy of a set-up PhotoData whose train and val splits both contain all photos, under their own transforms."""
    both = copy.copy(photos)
    files = [*photos.train.files, *photos.val.files]
    labels = [*photos.train.labels, *photos.val.labels]
    both.train, both.val = (split.with_files(files, labels) for split in (photos.train, photos.val))
    vars(both).pop("test", None)  # the test split is never pooled
    if isinstance(photos, LooksAtItself):
        both.findings = photos.findings  # type: ignore[attr-defined]  # each photo would be found in both splits
    return both
