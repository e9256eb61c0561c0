"""Photos in class folders."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from engine.data.balance import balanced_weights
from engine.data.keyed_sampler import KeyedSampler
from engine.data.normalization import normalize, require_normalization
from engine.data.patient_loader import PatientLoader
from engine.data_check.duplicates import identical
from engine.errors import DataError
from engine.photos.damage import known_damaged, told_of
from engine.photos.images import check_images, read_thumbnail
from engine.photos.layouts.class_folders import Classes, spelled_alike
from engine.photos.layouts.selection import Selection
from engine.photos.layouts.splits import folded, photos_of, splits_of
from engine.photos.photo_index import PhotoIndex
from engine.photos.photo_loader import PhotoLoader
from engine.photos.photo_set import Photos, Transform

MAX_SIDE = 1 << 14
"""Pixels: of an image of this side, one input takes 3 GiB."""

UNBALANCED = 3
"""The ratio of the largest to the smallest class at which the imbalance is reported."""


class ImageFolder(LightningDataModule):
    """`data_dir/{train,val,test}/<class>/`, or `data_dir/<class>/`, from which val and test are drawn by fraction.

    `classes` selects some of the folders, or merges them: {insects: [ants, bees], others: [cats]}. With `num_folds`,
    all photos except the test's are divided into that many folds, and val is fold number `fold`.

    Batches are images (N, 3, H, W), float in [0, 1] or normalized by `mean` and `std` if given, and labels (N,),
    indices into the attribute `classes`, the sorted names. Raises DataError for folders and files that cannot be used.
    """

    source = "local"
    train: Photos
    val: Photos
    test: Photos  # if has_test

    def __init__(
        self,
        *,
        data_dir: str,
        num_classes: int,
        classes: Selection | None,
        balance: Literal["none", "weights", "sampler"],
        val_fraction: Annotated[float, Gt(0), Lt(1)],
        test_fraction: Annotated[float, Ge(0), Lt(1)],
        num_folds: Annotated[int, Ge(2)] | None,
        fold: Annotated[int, Ge(0)],
        train_transform: Transform,
        eval_transform: Transform,
        image_size: Annotated[int, Ge(1), Le(MAX_SIDE)],
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        batch_size: Annotated[int, Ge(1)],
        eval_batch_size: Annotated[int, Ge(1)],
        num_workers: Annotated[int, Ge(0)],
        worker_timeout: Annotated[float, Ge(0)],
        max_pixels: Annotated[int, Ge(1)],
        keep_decoded: Annotated[int, Ge(0)],
        index_dir: str | None,
        seed: int,
        seed_split: int,
    ) -> None:
        super().__init__()
        require_normalization(mean, std, channels=3)
        self.root = Path(data_dir)
        self.name = self.root.name
        self.num_classes = num_classes
        self.wanted = classes
        self.balance = balance
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.num_folds = num_folds
        self.fold = fold
        self.train_transform = train_transform
        self.eval_transform = eval_transform
        self.image_size = image_size
        self.mean = mean
        self.std = std
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.worker_timeout = worker_timeout
        self.max_pixels = max_pixels
        self.keep_decoded = keep_decoded
        self.index_dir = Path(index_dir) if index_dir else None
        self.seed = seed
        self.seed_split = seed_split
        self.classes: list[str] = []

    def setup(self, stage: str) -> None:
        if self.classes:
            return
        splits = self.find()
        if self.num_folds is not None:
            splits = folded(splits, num_folds=self.num_folds, fold=self.fold, seed=self.seed_split)
        classes = sorted(splits["train"])
        if len(classes) != self.num_classes:
            raise DataError(
                f"{self.root} holds {len(classes)} classes ({', '.join(classes)}), datamodule.num_classes is "
                f"{self.num_classes}: give datamodule.num_classes={len(classes)}."
            )
        self.use(splits)
        check_images(self.index.files, self.max_pixels, self.index)

    def use(self, splits: Mapping[str, Mapping[str, Sequence[Path]]]) -> None:
        """Uses the files of each class for these splits, and no others, instead of calling `setup`."""
        self.classes = sorted({name for found in splits.values() for name in found})
        vars(self).pop("index", None)
        for split, found in splits.items():
            transform = self.train_transform if split == "train" else self.eval_transform
            setattr(self, split, self._photos(found, transform))

    def set_up_alone(self, split: str, classes: Sequence[str]) -> str:
        """Instead of `setup`, uses all photos of data_dir, or of its folder for `split` if it has one, as that split.

        Labels are positions in `classes`, some of which the folder may lack. Returns the name of what was read: `all`
        or a split.
        """
        part, files = self._find_alone(split, classes)
        if strange := [name for name in files if name not in classes]:
            raise DataError(
                f"{self.name} has the classes {', '.join(files)}, where the run learned {', '.join(classes)}: "
                f"leave out {', '.join(strange)}."
            )
        self.use({split: {name: files.get(name, ()) for name in classes}})
        check_images(self.index.files, self.max_pixels, self.index)
        return part

    def find(self) -> dict[str, Classes]:
        """The files of each class, by split."""
        return splits_of(
            self.root,
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            seed=self.seed_split,
            classes=self.wanted,
        )

    def _find_alone(self, split: str, classes: Sequence[str]) -> tuple[str, Classes]:
        return photos_of(self.root, split, classes, self.wanted)

    def _photos(self, found: Mapping[str, Sequence[Path]], transform: Transform) -> Photos:
        files = [file for name in self.classes for file in found.get(name, ())]
        labels = [label for label, name in enumerate(self.classes) for _ in found.get(name, ())]
        # Training and validation each have their own workers, or share this process.
        room = self.keep_decoded // (2 * max(1, self.num_workers))
        return Photos(files, labels, transform, seed=self.seed, max_pixels=self.max_pixels, room=room)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.val, self.eval_batch_size, shuffle=False)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.test, self.eval_batch_size, shuffle=False)

    def _loader(self, photos: Photos, batch_size: int, *, shuffle: bool) -> DataLoader[Any]:
        sampler = self._sampler(photos, shuffle=shuffle)
        settings: dict[str, Any] = {
            "batch_size": batch_size,
            "num_workers": self.num_workers,
            "worker_timeout": self.worker_timeout,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }
        if self.trainer and self.trainer.overfit_batches:  # type: ignore[attr-defined]
            # Every epoch repeats the same few batches; drawn here, since the Trainer requires a sequential sampler.
            return PatientLoader(Subset(photos, [index for _, index in sampler]), **settings)
        return PhotoLoader(photos, sampler=sampler, **settings)

    def _sampler(self, photos: Photos, *, shuffle: bool) -> KeyedSampler:
        trainer = self.trainer
        is_balanced = shuffle and self.balance == "sampler"
        return KeyedSampler(
            len(photos),
            balanced_by=torch.tensor(photos.labels) if is_balanced else None,
            seed=self.seed,
            shuffle=shuffle,
            num_replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            # Lightning creates a resumed run's first iterator before it calls set_epoch.
            epoch=trainer.current_epoch if trainer else 0,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        images, labels = batch
        normalized = normalize(images, self.mean, self.std)
        module: Any = self.trainer and self.trainer.lightning_module
        return (normalized.to(module.dtype) if module else normalized), labels  # trainer.precision may be bf16-true

    @property
    def has_test(self) -> bool:
        return hasattr(self, "test")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of one input of the network."""
        return (3, self.image_size, self.image_size)

    @cached_property
    def index(self) -> PhotoIndex:
        """An index of all photos, with what is known without reading them."""
        files = [file for split in self.counts() for file in getattr(self, split).files]
        return PhotoIndex(files, self.root, self.index_dir)

    @cached_property
    def digest(self) -> str:
        """A hash of all photos' names and bytes, independent of how they are split."""
        return self.index.digest()

    def class_weights(self) -> list[float] | None:
        """The loss's weight for each class if `balance=weights`; otherwise None."""
        return (
            balanced_weights(torch.tensor(self.train.labels), len(self.classes)) if self.balance == "weights" else None
        )

    def counts(self) -> dict[str, int]:
        """The number of photos per split."""
        return {split: len(getattr(self, split)) for split in ("train", "val", "test") if hasattr(self, split)}

    def findings(self) -> list[str]:
        """Problems with the photos that can be found without decoding them; check_data.py finds more."""
        files, groups = self.index.files, identical(self.index)
        damaged = self.damaged()
        for split in self.counts():
            getattr(self, split).new_damaged()  # told here
        labels = [label for split in self.counts() for label in getattr(self, split).labels]
        splits = [split for split, count in self.counts().items() for _ in range(count)]
        found = []
        for kind, column in (("with two labels", labels), ("in two splits", splits)):
            if several := [group for group in groups if len({column[i] for i in group}) > 1]:
                first, *others = several[0]
                second = next(i for i in others if column[i] != column[first])
                found.append(
                    f"{len(several)} × identical photos {kind}, such as {files[first]} and {files[second]}: remove one"
                )
        counts = torch.bincount(torch.tensor(self.train.labels), minlength=len(self.classes)).tolist()
        if max(counts) >= UNBALANCED * min(counts):
            most, least = (self.classes[counts.index(pick(counts))] for pick in (max, min))
            found.append(f"unbalanced: {max(counts):,} of {most}, {min(counts):,} of {least} in training")
        return [*found, *([told_of(damaged)] if damaged else []), *spelled_alike(self.classes)]

    def damaged(self) -> list[Path]:
        """Photos whose decoder found them damaged, whenever they were read; from now on the index knows them."""
        return known_damaged([getattr(self, split) for split in self.counts()], self.index)

    def tell_damaged(self) -> None:
        for split in self.counts():
            photos: Photos = getattr(self, split)
            photos.tell_damaged()
        self.damaged()

    def teardown(self, stage: str) -> None:
        self.damaged()

    def first_training_batch(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most `limit` photos of the first training batch as the network sees them, in [0, 1], and their labels."""
        sampler = self._sampler(self.train, shuffle=True)
        items = [self.train[key] for key, _ in zip(sampler, range(min(limit, self.batch_size)), strict=False)]
        return torch.stack([image for image, _ in items]).float() / 255, torch.tensor([label for _, label in items])

    def labels(self, split: str, indices: Sequence[int]) -> list[int]:
        """The labels of some photos of `split` (train, val, test)."""
        photos: Photos = getattr(self, split)
        return [photos.labels[i] for i in indices]

    def images(self, split: str, indices: Sequence[int]) -> Tensor:
        """Photos of `split` as the network sees them, but not normalized: (N, 3, H, W) in [0, 1]."""
        photos: Photos = getattr(self, split)
        return torch.stack([photos[i][0] for i in indices]).float() / 255

    def thumbnails(self, split: str, indices: Sequence[int], side: int) -> Tensor:
        """Center crops of photos of `split` (train, val, test), scaled to (N, 3, side, side) uint8."""
        files = [getattr(self, split).files[i] for i in indices]

        def thumbnail(file: Path) -> Tensor:
            try:
                return read_thumbnail(file, side, self.max_pixels)
            except DataError:  # a mere illustration must not end a training
                return torch.full((3, side, side), 128, dtype=torch.uint8)

        with ThreadPoolExecutor() as pool:
            return torch.stack(list(pool.map(thumbnail, files)))
