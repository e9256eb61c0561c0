"""Guesses which data set was meant if a folder has no class folders. Nothing here imports torch."""

from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from engine.photos.formats import counts_as_photo
from engine.photos.layouts.folders import folders_in
from engine.photos.layouts.split_folders import split_named

MAX_FOLDERS = 1000
"""The number of folders and files that are examined."""


def meant(root: Path) -> Path | None:
    """A folder near `root` that looks like a data set: one with a similar name, a parent, or up to two levels below."""
    try:
        return _meant(root.absolute())
    except OSError:  # a folder that may not be read
        return None


def _meant(root: Path) -> Path | None:
    if not root.is_dir():
        names = [path.name for path in folders_in(root.parent)] if root.parent.is_dir() else []
        near = get_close_matches(root.name, names, 1)
        return root.parent / near[0] if near else None
    if _has_photos(root):
        above = root.parent.parent if split_named(root.parent.name) else root.parent
        return above if _holds_splits(above) or _holds_classes(above) else None
    below = [child for folder in folders_in(root) for child in (folder, *folders_in(folder))][:MAX_FOLDERS]
    if (found := next((folder for folder in below if _holds_splits(folder)), None)) is not None:
        return found
    inner = below[:1] if len(folders_in(root)) == 1 else []  # as an archive unpacks: photos/photos/<class>
    return next((folder for folder in inner if _holds_classes(folder)), None)


def _holds_splits(folder: Path) -> bool:
    """Whether a folder has a training folder with class folders in it, and a folder for another split."""
    splits = {split_named(child.name): child for child in folders_in(folder)}
    return "train" in splits and len(splits.keys() - {None}) > 1 and bool(folders_in(splits["train"]))


def _holds_classes(folder: Path) -> bool:
    """Whether several folders in it have photos."""
    return sum(_has_photos(child) for child in folders_in(folder)[:MAX_FOLDERS]) > 1


def _has_photos(folder: Path) -> bool:
    return any(counts_as_photo(path.name) and path.is_file() for path in islice(folder.iterdir(), MAX_FOLDERS))
