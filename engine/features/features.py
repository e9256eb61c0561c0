"""Trains on cached features instead of photos: the output of a frozen backbone never changes."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import Dataset

from engine.data.chunk import takes_chunks
from engine.data.keyed import keyed_generator
from engine.data.normalization import normalize
from engine.data.patient_loader import PatientLoader
from engine.data.tensor_loader import TensorDataLoader, near_the_network
from engine.features.feature_cache import cached_arrays, names_digest
from engine.features.feature_shards import arrays_in_shards
from engine.process.activity import Activity, activity
from engine.protocols import PhotoData, PhotoSet, TellsDamage

logger = logging.getLogger(__name__)

READ_AT_ONCE = 8  # photos per batch of a worker, on the CPU
ON_A_GPU = 64  # images per batch; 32 photos with two views, a divisor of a shard, so all batches have one shape
SPLITS = ("train", "val", "test")
EVAL_BATCH_SIZE = 4096  # a head alone needs little memory


class Views(Dataset[Tensor]):
    """Item i: photo i as augmented in epochs 0 to `views` - 1 of a run with this seed, (views, 3, H, W) uint8."""

    def __init__(self, photos: PhotoSet, views: int, seed: int) -> None:
        self.photos = photos
        self.views = views
        self.seed = seed

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Tensor:
        return torch.stack(self.photos.looks(index, range(self.views), self.seed))


class Features(LightningDataModule):
    """Batches of features (N, num_features) and labels (N,) of `photos`, cached on disk in `cache_dir`.

    Epoch e trains on view e mod `views` of each photo: the photo as augmented in that epoch without a cache, with seed
    `view_seed`. With as many views as epochs, training therefore sees the same images as without a cache. Photos of
    other splits have one view. Memory stays bounded: photos are read a few at a time, features are memory-mapped.

    Args:
        key: everything else the features depend on: the backbone and, under `transforms`, an identifier of the
            transforms (default: their repr).
    """

    def __init__(
        self,
        *,
        photos: PhotoData,
        backbone: Callable[[Tensor], Tensor],
        num_features: int,
        key: Mapping[str, Any],
        cache_dir: str,
        augmentation_views: Annotated[int, Ge(1)] | None,
        max_epochs: int,
        view_seed: int,
        chunk: Annotated[int, Ge(1)],
    ) -> None:
        super().__init__()
        self.photos = photos
        self.backbone = backbone
        self.num_features = num_features
        self.key = key
        self.cache_dir = Path(cache_dir)
        self.views = max_epochs if augmentation_views is None else augmentation_views
        self.view_seed = view_seed
        self.chunk = chunk
        self.features: dict[str, Tensor] = {}
        self.seconds_of_features = 0.0  # spent computing them; 0 if they were cached
        self.name, self.source, self.classes = photos.name, photos.source, photos.classes
        self.counts, self.labels, self.images = photos.counts, photos.labels, photos.images
        self.first_training_batch = photos.first_training_batch
        self.input_shape = photos.input_shape

    def setup(self, stage: str) -> None:
        if self.features:
            return
        present = [split for split in SPLITS if hasattr(self.photos, split)]
        splits: dict[str, PhotoSet] = {split: getattr(self.photos, split) for split in present}

        def looks(photos: PhotoSet) -> str | None:
            # The repr is a fallback: two transforms may share it, and that of a plain class differs in every process.
            return None if "transforms" in self.key else repr(photos.transform)

        key = {
            **self.key,
            "files": self.photos.digest,
            **{
                split: [
                    names_digest(photos.files, self.photos.root),
                    looks(photos),
                    *([self.views, self.view_seed] if split == "train" else []),
                ]
                for split, photos in splits.items()
            },
            "mean": list(self.photos.mean or ()),
            "std": list(self.photos.std or ()),
        }
        views = {"train": self.views}
        shapes = {split: (len(photos), views.get(split, 1), self.num_features) for split, photos in splits.items()}
        started, self._computed = time.monotonic(), 0
        with activity("features", sum(shape[0] * shape[1] for shape in shapes.values()), "images") as shown:
            self.features = arrays_in_shards(self.cache_dir, key, shapes, partial(self._compute, shown))
        if isinstance(self.photos, TellsDamage):
            self.photos.tell_damaged()
        if self._computed:
            seconds = self.seconds_of_features = time.monotonic() - started
            rate = self._computed / seconds
            logger.info("Features of %d images: %.1f s, %.0f per second.", self._computed, seconds, rate)

    def _compute(self, shown: Activity, split: str, parts: Iterator[range]) -> Iterator[Tensor]:
        """The features (rows, views, D) of each part of a split's photos; parts are taken as workers need them."""
        photos: PhotoSet = getattr(self.photos, split)
        views = Views(photos, self.views if split == "train" else 1, self.view_seed)
        taken: deque[range] = deque()
        device: torch.device = getattr(self.backbone, "device", torch.device("cpu"))
        at_once = READ_AT_ONCE if device.type == "cpu" else max(1, ON_A_GPU // views.views)

        def batches() -> Iterator[Sequence[int]]:
            for rows in parts:
                taken.append(rows)
                yield from (rows[start : start + at_once] for start in range(0, len(rows), at_once))

        # A generator of its own: which parts are left to compute depends on other processes.
        loader = PatientLoader(
            views,
            1,
            batch_sampler=batches(),  # an iterator is enough for one pass
            num_workers=self.photos.num_workers,
            worker_timeout=getattr(self.photos, "worker_timeout", 0),
            generator=torch.Generator(),
            pin_memory=device.type == "cuda",
        )
        done: list[Tensor] = []
        for pictures in loader:
            flat = pictures.flatten(0, 1).to(device, non_blocking=True)
            flat = normalize(flat, self.photos.mean, self.photos.std)
            done.append(self.backbone(flat).view(*pictures.shape[:2], -1))
            self._computed += len(flat)
            shown.advance(len(flat))
            if sum(map(len, done)) == len(taken[0]):
                taken.popleft()
                yield torch.cat(done)
                done = []

    def train_dataloader(self) -> TensorDataLoader:
        chunk = self.chunk if takes_chunks(self.trainer) else 1
        return self._loader("train", self.photos.batch_size, shuffle=True, chunk=chunk)

    def val_dataloader(self) -> TensorDataLoader:
        return self._loader("val", EVAL_BATCH_SIZE, shuffle=False, chunk=1)

    def test_dataloader(self) -> TensorDataLoader:
        return self._loader("test", EVAL_BATCH_SIZE, shuffle=False, chunk=1)

    @property
    def has_test(self) -> bool:
        return hasattr(self.photos, "test")

    def _loader(self, split: str, batch_size: int, *, shuffle: bool, chunk: int) -> TensorDataLoader:
        photos: PhotoSet = getattr(self.photos, split)
        features, labels = self.features[split], torch.tensor(photos.labels)
        if shuffle and self.trainer and self.trainer.overfit_batches:  # type: ignore[attr-defined]
            # Every epoch repeats the same few batches, in an order that is drawn once.
            order = torch.randperm(len(labels), generator=keyed_generator(self.photos.seed, 0))
            features, labels, shuffle = features[order], labels[order], False
        return TensorDataLoader(
            *near_the_network(self.trainer, features, labels),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.photos.seed,
            chunk=chunk,
            balanced_by=labels if getattr(self.photos, "balance", None) == "sampler" else None,
            transform=view_of_epoch,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def thumbnails(self, split: str, indices: Sequence[int], side: int) -> Tensor:
        """Thumbnails of the photos, also cached on disk."""
        photos: PhotoSet = getattr(self.photos, split)
        names = names_digest([photos.files[i] for i in indices], self.photos.root)
        key = {"files": self.photos.digest, "thumbnails": names, "side": side}

        def compute(arrays: dict[str, Tensor]) -> None:
            arrays["thumbnails"].copy_(self.photos.thumbnails(split, indices, side))

        shape = (len(indices), 3, side, side)
        return cached_arrays(self.cache_dir, key, {"thumbnails": shape}, compute)["thumbnails"].to(torch.uint8)


def view_of_epoch(features: Tensor, indices: Tensor, epoch: int) -> Tensor:
    """Selects the epoch's view: (N, views, D) → (N, D)."""
    return features[:, epoch % features.shape[1]]
