"""Datasets of small images that are held in memory as uint8 tensors."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.nn.functional import interpolate

from engine.data.chunk import takes_chunks
from engine.data.normalization import require_normalization
from engine.data.tensor_loader import TensorDataLoader, Transform, near_the_network
from engine.errors import DataError
from functional.image_transform import ImageTransform

Split = tuple[Tensor, Tensor]


class InMemory(LightningDataModule):
    """Images (N, C, H, W) uint8 and targets (N, …) for the `train` and optional `val` and `test` splits from `load`.

    Batches are images (N, C, H, W), float in [0, 1] or normalized by `mean` and `std` if given, and targets. Training
    images are augmented (image_transform.py). If a CUDA device has enough memory, the uint8 tensors are moved to it
    once. Order and augmentation are keyed by (seed, epoch, index).

    Without a `val` split, only a training metric can select the best epoch: `monitor.metric=train/loss
    monitor.mode=min`. Monitoring `val/…` is then refused (DataError); the test split is never used for this.

    Args:
        num_classes: checked against the number of `classes`.
        flip: none | random | alternating; for flip, translate and cutout (pixels), see ImageTransform.
        mean: per channel, for pixels in [0, 1]; null (also for std): no normalization.
        drop_last: drop the last training batch if it is smaller.
        chunk: training batches per chunk (tensor_loader.py); 1 for procedures that do not support chunks.
    """

    name: str
    source: str
    classes: Sequence[str] = ()

    def __init__(
        self,
        *,
        num_classes: int,
        flip: Literal["none", "random", "alternating"],
        translate: Annotated[int, Ge(0)],
        cutout: Annotated[int, Ge(0)],
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        batch_size: Annotated[int, Ge(1)],
        eval_batch_size: Annotated[int, Ge(1)],
        drop_last: bool,
        chunk: Annotated[int, Ge(1)],
        seed: int,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.flip, self.translate, self.cutout = flip, translate, cutout
        self.mean, self.std = mean, std
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.drop_last, self.chunk, self.seed = drop_last, chunk, seed
        self.splits: dict[str, Split] = {}

    def load(self) -> dict[str, Split]:
        """Returns the splits by name, and sets `classes` (in the order of the labels) and `source`."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        if not self.splits:
            self.splits = self.load()
            self._check()
        if self.trainer is not None and stage == "fit" and "val" not in self.splits:
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if str(getattr(callback, "monitor", None)).startswith("val/"):
                    raise DataError(
                        f"{self.name} has no validation images to select the best epoch: set "
                        "monitor.metric=train/loss monitor.mode=min, or a datamodule.val_size above 0."
                    )

    def _check(self) -> None:
        if len(self.classes) != self.num_classes:
            raise DataError(
                f"{self.name} has {len(self.classes)} classes, but datamodule.num_classes is {self.num_classes}: "
                f"set datamodule.num_classes={len(self.classes)}."
            )
        for split, (_, targets) in self.splits.items():
            check_labels(targets, self.num_classes, f"{self.name}'s {split} split")
        require_normalization(self.mean, self.std, self.splits["train"][0].shape[1])
        side = min(self.splits["train"][0].shape[-2:])
        if self.translate >= side:
            raise DataError(
                f"datamodule.translate={self.translate}: shifts images of {side} pixels out of sight: "
                f"give at most {side - 1}."
            )
        size = len(self.splits["train"][0])
        if self.drop_last and size < self.batch_size:
            raise DataError(
                f"{self.name} has {size} training images, fewer than the datamodule.batch_size of {self.batch_size}: "
                "use a smaller batch size, or datamodule.drop_last=false."
            )

    @property
    def has_test(self) -> bool:
        return "test" in self.splits

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return tuple(self.splits["train"][0].shape[1:])

    # Loaders ---------------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> TensorDataLoader:
        return self._loader(
            "train",
            self.train_transform(),
            batch_size=self.batch_size,
            shuffle=self._shuffle,
            drop_last=self.drop_last,
            chunk=self.chunk if takes_chunks(self.trainer) else 1,
        )

    @property
    def _shuffle(self) -> bool:
        # With `overfit_batches`, every epoch repeats the same batches.
        return self.trainer is None or not self.trainer.overfit_batches  # type: ignore[attr-defined]

    def val_dataloader(self) -> TensorDataLoader | list[Any]:
        return self._eval_loader("val") if "val" in self.splits else []

    def test_dataloader(self) -> TensorDataLoader:
        return self._eval_loader("test")

    def _eval_loader(self, split: str) -> TensorDataLoader:
        return self._loader(split, self.eval_transform(split), batch_size=self.eval_batch_size, shuffle=False)

    def _loader(self, split: str, transform: Transform, **settings: Any) -> TensorDataLoader:
        trainer = self.trainer
        images, targets = near_the_network(trainer, *self.splits[split])
        self.splits[split] = images, targets
        return TensorDataLoader(
            images,
            targets,
            transform=transform,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            **settings,
        )

    def train_transform(self) -> Transform:
        """The transform of training images."""
        return self._transform("train", flip=self.flip, translate=self.translate, cutout=self.cutout)

    def eval_transform(self, split: str) -> Transform:
        """The transform of other images: only normalization."""
        return self._transform(split, flip="none", translate=0, cutout=0)

    def _transform(self, split: str, **augmentation: Any) -> ImageTransform:
        size = len(self.splits[split][0])
        return ImageTransform(set_size=size, seed=self.seed, mean=self.mean, std=self.std, **augmentation)

    # For callbacks and reports ---------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """The number of images per split."""
        return {split: len(images) for split, (images, _) in self.splits.items()}

    def first_training_batch(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most `limit` augmented images of the first training batch, in [0, 1], and their targets."""
        transform, (every, targets) = self.train_transform(), self.splits["train"]
        indices = torch.arange(len(every), device=every.device)
        loader = TensorDataLoader(
            indices, batch_size=min(limit, self.batch_size), shuffle=self._shuffle, seed=self.seed
        )
        chosen: Any = next(iter(loader))[0]
        images = transform(every[chosen], chosen, 0).cpu()
        if self.mean is not None and self.std is not None:
            images = images * torch.tensor(self.std).view(-1, 1, 1) + torch.tensor(self.mean).view(-1, 1, 1)
        return coloured(images), targets[chosen].cpu()

    def normalized_training_images(self, limit: int) -> Tensor:
        """The first training images, at most `limit`, normalized but not augmented: (N, C, H, W)."""
        images, _ = self.splits["train"]
        indices = torch.arange(min(limit, len(images)), device=images.device)
        return self.eval_transform("train")(images[indices], indices, 0)

    def labels(self, split: str, indices: Sequence[int]) -> list[Any]:
        """The targets of images of `split` (train, val, test)."""
        targets: list[Any] = self.splits[split][1][list(indices)].tolist()
        return targets

    def images(self, split: str, indices: Sequence[int]) -> Tensor:
        """Images of `split` (train, val, test), not augmented: (N, 3, H, W) in [0, 1]."""
        return coloured(self.splits[split][0][list(indices)].cpu().float() / 255)

    def thumbnails(self, split: str, indices: Sequence[int], side: int) -> Tensor:
        """Images of `split` (train, val, test), not augmented, scaled to (N, 3, side, side) uint8."""
        images = interpolate(self.images(split, indices), size=(side, side), mode="bilinear", antialias=True)
        return (images * 255).round().to(torch.uint8)


def check_labels(targets: Tensor, num_classes: int, name: str) -> None:
    """Raises DataError for labels (N,) int64 outside [0, num_classes); other targets pass."""
    if targets.dtype == torch.int64 and targets.dim() == 1 and len(targets):
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= num_classes:
            raise DataError(
                f"{name} has labels from {low} to {high}, but {num_classes} classes have 0 to {num_classes - 1}: "
                "fix the labels, or name every class."
            )


def coloured(images: Tensor) -> Tensor:
    """Expands images (N, 1 or 3, H, W) to three channels."""
    return images.expand(-1, 3, -1, -1)
