"""Data sets on disk whose labels are their folders' names, and their split into training and validation."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torchvision.datasets.folder import IMG_EXTENSIONS

from datamodules.errors import DataError


def class_files(root: Path) -> dict[str, list[Path]]:
    """The image files of each class, both in the order of their names: a class is a visible folder right in `root`.

    Images are told by torchvision's IMG_EXTENSIONS (GIF is not among them), in a class folder's own folders too. Other
    files, hidden files (macOS leaves ._photo.jpg beside photo.jpg) and images right in `root` are left out.

    Raises:
        DataError: `root` or a folder in it is missing or unreadable, there is no class, a class has no image, or a
            hidden folder has some (Jupyter's .ipynb_checkpoints holds doubles, and would be a class to ImageFolder).
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: expected one with a folder of images for each class.")
    classes: dict[str, list[Path]] = {}
    for folder, subfolders, names in os.walk(root, onerror=_unreadable, followlinks=True):
        parts = Path(folder).relative_to(root).parts
        if not parts:
            classes = {name: [] for name in sorted(subfolders) if not name.startswith(".")}
            continue
        images = [Path(folder, name) for name in names if _is_image(name)]
        if images and any(part.startswith(".") for part in parts):
            raise DataError(f"{folder} is a hidden folder with {len(images)} images in it: remove it, or rename it.")
        if images:
            classes[parts[0]] += images
    if not classes:
        raise DataError(f"{root} has no folders: expected one of images for each class.")
    for name, files in classes.items():
        if not files:
            raise DataError(f"{root / name} holds no image ({', '.join(IMG_EXTENSIONS)}): fill or remove this class.")
        files.sort()
    return classes


def same_classes(train: Mapping[str, Sequence[Path]], val: Mapping[str, Sequence[Path]]) -> None:
    """DataError, with a file of each, if two results of class_files differ in their classes, and so in their labels."""
    alone = [
        f"{name!r} only in {side} (as {classes[name][0]})"
        for side, classes, other in (("training", train, val), ("validation", val, train))
        for name in sorted(classes.keys() - other.keys())
    ]
    if alone:
        raise DataError(f"Training and validation have different classes, {' and '.join(alone)}: add or remove them.")


def stratified_split(labels: Sequence[int], val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """The indices into `labels` for training and for validation, each in increasing order.

    Of each class, the share `val_fraction`, rounded, but at least one item and all but one at most, goes to
    validation, drawn by `seed` alone.

    Raises:
        DataError: `val_fraction` is not strictly between 0 and 1, or a class has fewer than two items.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction is {val_fraction} where a number between 0 and 1 was expected.")
    generator = torch.Generator().manual_seed(seed)
    target = torch.as_tensor(labels)
    chosen: list[int] = []
    for label in target.unique().tolist():
        members = (target == label).nonzero().flatten()
        if len(members) < 2:
            raise DataError(f"Class {label} has a single item, where training and validation need one each.")
        count = min(max(round(len(members) * val_fraction), 1), len(members) - 1)
        order = torch.randperm(len(members), generator=generator)
        chosen += members[order[:count]].tolist()
    val = set(chosen)
    return [index for index in range(len(target)) if index not in val], sorted(val)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror}): check its permissions.") from error
