"""Guesses the data set that a folder without class folders was meant to be. Nothing here imports torch."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from engine.photos.formats import counts_as_photo
from engine.photos.layouts.split_folders import split_named

MAX_FOLDERS = 1000
"""The number of folders and files that are examined."""


def meant(root: Path) -> Path | None:
    """A folder near `root` that looks like a data set: of a similar name, around `root`, or up to two levels below."""
    try:
        return _meant(root.absolute())
    except OSError:  # a folder that may not be read
        return None


def _meant(root: Path) -> Path | None:
    if not root.is_dir():
        names = [path.name for path in _folders(root.parent)] if root.parent.is_dir() else []
        near = get_close_matches(root.name, names, 1)
        return root.parent / near[0] if near else None
    if any(counts_as_photo(path.name) and path.is_file() for path in islice(root.iterdir(), MAX_FOLDERS)):
        above = root.parent.parent if split_named(root.parent.name) else root.parent
        return above if _holds_splits(above) or len(list(_folders(above))) > 1 else None
    below = [child for folder in _folders(root) for child in (folder, *_folders(folder))]
    return next((folder for folder in below[:MAX_FOLDERS] if _holds_splits(folder)), None)


def _holds_splits(folder: Path) -> bool:
    """Whether it has a folder of training photos, with class folders in it, and another split's."""
    splits = {split_named(child.name): child for child in _folders(folder)}
    return "train" in splits and len(splits.keys() - {None}) > 1 and any(_folders(splits["train"]))


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("[!.]*")) if path.is_dir())
