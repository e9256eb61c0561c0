"""Walks over folders of photos, the same way for training and prediction."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.errors import DataError
from engine.photos.formats import counts_as_photo
from engine.photos.layouts.folders import OF_SYSTEMS


class Folder(NamedTuple):
    """A folder with the sorted names of its entries, except hidden files."""

    path: Path
    parts: tuple[str, ...]  # of its path below the root
    subfolders: list[str]  # may be changed, as os.walk's
    photos: list[str]
    others: list[str]

    @property
    def is_hidden(self) -> bool:
        return any(part.startswith(".") for part in self.parts)


def walk(root: Path) -> Iterator[Folder]:
    """`root` and all folders below it; links are followed.

    Hidden files are skipped (macOS leaves ._photo.jpg and .DS_Store beside photo.jpg), and so are folders OF_SYSTEMS.

    Raises:
        DataError: a folder cannot be read, or is found under two names, so that its photos would count twice.
    """
    seen: dict[tuple[int, int], Path] = {}
    for place, subfolders, names in os.walk(root, onerror=_unreadable, followlinks=True):
        folder = Path(place)
        status = folder.stat()
        first = seen.setdefault((status.st_dev, status.st_ino), folder)
        if first != folder:
            raise DataError(f"{first} and {folder} are one folder, whose images would count twice: remove the link.")
        subfolders[:] = sorted(
            name for name in subfolders if name not in OF_SYSTEMS
        )  # the order in which a file system lists them is its own
        visible = sorted(name for name in names if not name.startswith("."))
        photos = [name for name in visible if counts_as_photo(name)]
        others = [name for name in visible if not counts_as_photo(name)]
        yield Folder(folder, folder.relative_to(root).parts, subfolders, photos, others)


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror}): check its permissions.") from error
