"""A data set of labelled photos."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from engine.data.keyed import keyed_rng
from engine.errors import DataError
from engine.photos.damage import DAMAGED, UNKNOWN, WHOLE, told_of
from engine.photos.images import read_image

logger = logging.getLogger(__name__)

Transform = Callable[[Tensor], Tensor]


class PhotoMemory:
    """Keeps the first photos that a process reads, as many as there is room for; the others are read each time.

    Which ones are kept does not affect the results.
    """

    def __init__(self, room: int) -> None:
        self.room = room  # bytes that are left
        self._kept: dict[int, Tensor] = {}

    def get(self, index: int, read: Callable[[], Tensor]) -> Tensor:
        """Photo `index`, read by `read` if it is not kept; the caller may modify it."""
        if index in self._kept:
            return self._kept[index].clone()
        photo = read()
        if photo.nbytes <= self.room:
            self.room -= photo.nbytes
            self._kept[index] = photo.clone()
        return photo


class Photos(Dataset[tuple[Tensor, int]]):
    """Files with labels, read as (3, H, W) uint8 and transformed; randomness is keyed by (seed, epoch, index).

    Each process keeps up to `room` bytes of decoded photos. `conditions` (N,) uint8 holds the condition of each photo
    that this process or its workers have read.
    """

    def __init__(
        self,
        files: Sequence[Path],
        labels: Sequence[int],
        transform: Transform,
        *,
        seed: int,
        max_pixels: int,
        room: int = 0,
    ) -> None:
        self.files = files
        self.labels = labels
        self.transform = transform
        self.seed = seed
        self.max_pixels = max_pixels
        self.memory = PhotoMemory(room)
        self.conditions = torch.full((len(files),), UNKNOWN, dtype=torch.uint8).share_memory_()
        self._told: set[int] = set()  # positions of damaged ones

    def with_files(self, files: Sequence[Path], labels: Sequence[int]) -> "Photos":
        """A set of other files, read and transformed like these."""
        return Photos(files, labels, self.transform, seed=self.seed, max_pixels=self.max_pixels)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: tuple[int, int] | int) -> tuple[Tensor, int]:
        # Lightning's overfit_batches brings a sampler of its own, which knows no epoch.
        epoch, index = key if isinstance(key, tuple) else (0, key)
        photo = self.memory.get(index, lambda: self._read(index))
        return self._look(photo, index, epoch, self.seed), self.labels[index]

    def looks(self, index: int, epochs: Sequence[int], seed: int) -> list[Tensor]:
        """Photo `index` as augmented in each of `epochs` of a run with this seed; it is read once, and not kept."""
        photo = self._read(index)
        return [self._look(photo, index, epoch, seed) for epoch in epochs]

    def new_damaged(self) -> list[Path]:
        """The photos found to be damaged since the last call."""
        new = [i for i in (self.conditions == DAMAGED).nonzero().flatten().tolist() if i not in self._told]
        self._told.update(new)
        return [self.files[i] for i in new]

    def tell_damaged(self) -> None:
        if new := self.new_damaged():
            logger.warning("%s", told_of(new))

    def _read(self, index: int) -> Tensor:
        damage: list[str] = []
        photo = read_image(self.files[index], self.max_pixels, damage)
        self.conditions[index] = DAMAGED if damage else WHOLE
        return photo

    def _look(self, photo: Tensor, index: int, epoch: int, seed: int) -> Tensor:
        with keyed_rng(seed, epoch, index):
            return transformed(photo, self.transform, self.files[index])


def transformed(photo: Tensor, transform: Transform, file: Path) -> Tensor:
    """The transformed photo. Raises DataError with the file's name if the transform does not fit it, or its size."""
    try:
        return transform(photo)
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        size = f"{photo.shape[2]} × {photo.shape[1]} pixels"
        raise DataError(f"{file} ({size}) cannot be transformed ({reason}): scale it, or remove it.") from error
