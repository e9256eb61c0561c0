"""Finds and reads photos without labels, and reports those that cannot be read."""

import glob
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.data.patient_loader import PatientLoader
from engine.errors import DataError
from engine.photos.damage import told_of
from engine.photos.formats import SUFFIXES, counts_as_photo, left_out
from engine.photos.images import read_image
from engine.photos.layouts.walk import walk
from engine.photos.photo_set import transformed


class Found(NamedTuple):
    """Photos sorted by name, and the visible files beside them that are not photos."""

    photos: list[Path]
    others: list[Path]


def find_photos(pattern: str) -> Found:
    """The photo at a path, all photos below a folder (links are followed), or those that match a glob.

    In folders and globs, photos are recognized by their SUFFIXES and hidden files are skipped. Raises DataError if
    there is no photo, or a folder cannot be read.
    """
    path = Path(pattern)
    if path.is_file():
        return Found([path], [])
    # Path.glob takes no absolute pattern, and finds what is hidden.
    found = [path] if path.is_dir() else [Path(match) for match in glob.glob(pattern, recursive=True)]  # noqa: PTH207
    if not found:
        raise DataError(f"input={pattern}: there is no such photo or folder, and no file matches it.")
    files = {file for match in found for file in (_in_folder(match) if match.is_dir() else [match])}
    photos = sorted(file for file in files if counts_as_photo(file.name))
    others = sorted(files.difference(photos))
    if not photos:
        reason = f"it has {left_out(others)}" if others else "it is empty"
        raise DataError(f"input={pattern}: there is no image ({', '.join(SUFFIXES)}) in it; {reason}.")
    return Found(photos, others)


def _in_folder(root: Path) -> list[Path]:
    files: list[Path] = []
    for folder in walk(root):
        folder.subfolders[:] = [name for name in folder.subfolders if not name.startswith(".")]
        files += [folder.path / name for name in (*folder.photos, *folder.others)]
    return files


class PhotoBatch(NamedTuple):
    """Photos (N, C, H, W) uint8 (None if N is 0) with their positions in the input.

    `unreadable` has a sentence about each of the others, `damaged` about each of those with damaged image data.
    """

    positions: list[int]
    photos: Tensor | None
    unreadable: list[str]
    damaged: list[str]


Item = tuple[int, Tensor | None, str]


class UnlabelledPhotos(Dataset[Item]):
    """Item i is i, the transformed photo, and a sentence: why it cannot be read (then it is None), or is damaged."""

    def __init__(self, files: Sequence[Path], transform: Callable[[Tensor], Tensor], *, max_pixels: int) -> None:
        self.files = files
        self.transform = transform
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Item:
        file = self.files[index]
        damage: list[str] = []
        try:
            photo = transformed(read_image(file, self.max_pixels, damage), self.transform, file)
        except DataError as error:
            return index, None, str(error)
        return index, photo, told_of([file]) if damage else ""

    def loader(self, *, batch_size: int, num_workers: int, worker_timeout: float) -> DataLoader[PhotoBatch]:
        """Batches in the order of the files; worker processes read them if there are several."""
        batches = -(-len(self) // batch_size)
        return PatientLoader(
            self,
            worker_timeout=worker_timeout,
            batch_size=batch_size,
            num_workers=min(num_workers, batches) if batches > 1 else 0,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
        )


def _collate(items: Sequence[Item]) -> PhotoBatch:
    photos = [photo for _, photo, _ in items if photo is not None]
    return PhotoBatch(
        [index for index, photo, _ in items if photo is not None],
        torch.stack(photos) if photos else None,
        [sentence for _, photo, sentence in items if photo is None],
        [sentence for _, photo, sentence in items if photo is not None and sentence],
    )
