"""Data sets on disk whose labels are their folders' names, and their split into training and validation."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from engine.data.stratified_split import stratified_split
from engine.errors import DataError
from engine.photos.images import SUFFIXES
from engine.photos.split_folders import split_folders

logger = logging.getLogger(__name__)

Classes = dict[str, list[Path]]


def train_and_val(root: Path, val_fraction: float, seed: int) -> tuple[Classes, Classes]:
    """The image files of each class for training and for validation, with the same classes in the same order.

    They lie in `root`'s folders of splits (split_folders.py); or, if it has none, in its folders of classes, and then
    the share `val_fraction` of each class goes to validation, drawn by `seed` (stratified_split).

    Raises:
        DataError: split_folders' and class_files' errors, training and validation have different classes, there is one
            class alone, or an image alone in a class that is to be split.
    """
    if splits := split_folders(root):
        train, val = class_files(splits["train"]), class_files(splits["val"])
        same_classes(train, val)
        if "test" in splits:
            logger.info("Not used in training: %s (evaluate.py … datamodule.data_dir=%s).", *[splits["test"]] * 2)
    else:
        train, val = _split(class_files(root), val_fraction, seed)
    if len(train) == 1:
        (folder,) = {files[0].parent for files in train.values()}
        raise DataError(
            f"{root} has images of one class alone (as in {folder}), which leaves nothing to learn: "
            "give the folder that holds a folder for each of several classes."
        )
    return train, val


def class_files(root: Path) -> Classes:
    """The image files of each class, both in the order of their names: a class is a visible folder right in `root`.

    Photos are known by their SUFFIXES (GIF is not among them), in a class folder's own folders too; they
    are not opened. Hidden files are passed over (macOS leaves ._photo.jpg and .DS_Store beside photo.jpg), and so are
    hidden folders without images. How many other files are left out is logged.

    Raises:
        DataError: `root` or a folder in it is missing or unreadable, there is no class, a class has no image or an
            unprintable name, a hidden folder has images (Jupyter's .ipynb_checkpoints holds doubles, and would be a
            class to ImageFolder), a folder has an image's name, a link leads to nothing, or two to one folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: expected one with a folder of images for each class.")
    classes: Classes = {}
    left_out: list[Path] = []
    seen: dict[tuple[int, int], Path] = {}
    for place, subfolders, names in os.walk(root, onerror=_unreadable, followlinks=True):
        folder = Path(place)
        parts = folder.relative_to(root).parts
        subfolders.sort()  # the order in which a file system lists them is its own
        _refuse_doubles(folder, seen)
        if not parts:
            classes = {name: [] for name in sorted(subfolders) if not name.startswith(".")}
            left_out += _without_images(folder, names)
            continue
        images = [folder / name for name in names if _is_image(name)]
        if any(part.startswith(".") for part in parts):
            if images:
                raise DataError(f"{folder} is a hidden folder with {len(images)} images: remove it, or rename it.")
            continue
        for name in filter(_is_image, subfolders):
            raise DataError(f"{folder / name} is a folder where an image was expected: rename or remove it.")
        classes[parts[0]] += images
        left_out += _without_images(folder, [name for name in names if not _is_image(name)])
    _check_classes(root, classes)
    if left_out:
        logger.info("Left out of %s, since no images of a class: %d, such as %s.", root, len(left_out), left_out[0])
    return {name: sorted(files) for name, files in classes.items()}


def _refuse_doubles(folder: Path, seen: dict[tuple[int, int], Path]) -> None:
    """Notes a folder; DataError if it has been met by another name, since its images would count twice or for ever."""
    status = folder.stat()
    first = seen.setdefault((status.st_dev, status.st_ino), folder)
    if first != folder:
        raise DataError(f"{first} and {folder} are one folder, whose images would count twice: remove the link.")


def _without_images(folder: Path, names: Sequence[str]) -> list[Path]:
    """The visible ones of some files; DataError for a link to nothing, since it may be a class on a missing disk."""
    visible = [folder / name for name in names if not name.startswith(".")]
    for path in visible:
        if not path.exists():
            raise DataError(f"{path} is a link to nothing: mend it, or remove it.")
    return visible


def _check_classes(root: Path, classes: Classes) -> None:
    if not classes:
        raise DataError(f"{root} has no folders: expected one of images for each class.")
    for name, files in classes.items():
        if not name.isprintable():
            raise DataError(f"{root} has a class folder whose name cannot be shown, {name!a}: rename it.")
        if not files:
            raise DataError(f"{root / name} holds no image ({', '.join(SUFFIXES)}): fill or remove this class.")


def same_classes(train: Mapping[str, Sequence[Path]], val: Mapping[str, Sequence[Path]]) -> None:
    """DataError, with a file of each, if two results of class_files differ in their classes, and so in their labels."""
    alone = [
        f"{name!r} only in {side} (as {classes[name][0]})"
        for side, classes, other in (("training", train, val), ("validation", val, train))
        for name in sorted(classes.keys() - other.keys())
    ]
    if alone:
        raise DataError(f"Training and validation have different classes, {' and '.join(alone)}: add or remove them.")


def _split(classes: Classes, val_fraction: float, seed: int) -> tuple[Classes, Classes]:
    for files in classes.values():
        if len(files) == 1:
            raise DataError(f"{files[0]} is alone in its class, where training and validation need an image each.")
    pairs = [(name, file) for name, files in classes.items() for file in files]
    labels = torch.tensor([label for label, files in enumerate(classes.values()) for _ in files])
    parts: list[Classes] = []
    for indices in stratified_split(labels, float(val_fraction), seed=seed):
        part: Classes = {name: [] for name in classes}
        for index in indices.tolist():
            name, file = pairs[index]
            part[name].append(file)
        parts.append(part)
    return parts[0], parts[1]


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror}): check its permissions.") from error
