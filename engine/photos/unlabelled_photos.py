"""Photos that nobody has labelled: found, read, and handed over with those that cannot be read."""

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.errors import DataError
from engine.photos.images import SUFFIXES, read_image


def find_photos(pattern: str) -> list[Path]:
    """The photo at a path, those in a folder and its folders, or those that match a glob, in the order of their names.

    In folders and globs photos are known by their SUFFIXES, and hidden files are left out. DataError if there is none.
    """
    path = Path(pattern)
    if path.is_file():
        return [path]
    # Path.glob takes no absolute pattern, and finds what is hidden.
    found = [path] if path.is_dir() else [Path(match) for match in glob.glob(pattern, recursive=True)]  # noqa: PTH207
    if not found:
        raise DataError(f"input={pattern}: there is no such photo or folder, and no file matches it.")
    photos = {photo for match in found for photo in (_in_folder(match) if match.is_dir() else [match])}
    images = sorted(photo for photo in photos if photo.name.lower().endswith(SUFFIXES))
    if not images:
        raise DataError(f"input={pattern}: there is no image ({', '.join(SUFFIXES)}) in it.")
    return images


def _in_folder(folder: Path) -> list[Path]:
    files: list[Path] = []
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files += [Path(place, name) for name in names if not name.startswith(".")]
    return files


class PhotoBatch(NamedTuple):
    """Photos (N, C, H, W) uint8, None where N is 0, with their positions in the input, and why others have none."""

    positions: list[int]
    photos: Tensor | None
    unreadable: list[str]


class UnlabelledPhotos(Dataset[tuple[int, Tensor | str]]):
    """Item i: i and the file's photo after `transform`, or i and the sentence that says why it cannot be read."""

    def __init__(self, files: Sequence[Path], transform: Callable[[Tensor], Tensor], *, max_pixels: int) -> None:
        self.files = files
        self.transform = transform
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:
        try:
            photo = read_image(self.files[index], self.max_pixels)
        except DataError as error:
            return index, str(error)
        return index, self.transform(photo)

    def loader(self, *, batch_size: int, num_workers: int) -> DataLoader[PhotoBatch]:
        """Batches in the order of the files, read by other processes where there are several of them."""
        batches = -(-len(self) // batch_size)
        return DataLoader(
            self,  # type: ignore[arg-type]
            batch_size=batch_size,
            num_workers=min(num_workers, batches) if batches > 1 else 0,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
        )


def _collate(items: Sequence[tuple[int, Tensor | str]]) -> PhotoBatch:
    readable = [(index, photo) for index, photo in items if isinstance(photo, Tensor)]
    photos = torch.stack([photo for _, photo in readable]) if readable else None
    return PhotoBatch(
        [index for index, _ in readable], photos, [reason for _, reason in items if isinstance(reason, str)]
    )
