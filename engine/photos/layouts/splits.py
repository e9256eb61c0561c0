"""A data set's photos by split and class, given by its folders or drawn."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from engine.data.stratified_folds import stratified_folds
from engine.data.stratified_split import stratified_split
from engine.errors import DataError
from engine.photos.layouts.class_folders import Classes, class_files, same_classes, selected
from engine.photos.layouts.folders import folders_in
from engine.photos.layouts.nearby import meant
from engine.photos.layouts.selection import Selection, composed, members_of
from engine.photos.layouts.split_folders import refuse_classes_that_may_be_splits, split_folders

logger = logging.getLogger(__name__)


def splits_of(
    root: Path, *, val_fraction: float, test_fraction: float, seed: int, classes: Selection | None = None
) -> dict[str, Classes]:
    """The image files of each class for `train`, `val` and, if there is one, `test`, with the same classes in each.

    They are in `root`'s split folders (split_folders.py). A split without a folder is drawn from the training photos
    by `seed`, the same fraction of each class (stratified_split): `val_fraction` and `test_fraction`; 0 draws none. If
    `root` has no split folders, all its photos are training photos.

    Raises:
        DataError: as split_folders, class_files and selected; or splits have different classes, there is only one
            class, or a class has too few images to be split.
    """
    try:
        found, has_folders = _labelled(root, classes)
    except DataError as error:
        if (near := meant(root)) is None:
            raise
        raise DataError(f"{str(error).rstrip('.')}; did you mean {near}?") from error
    if "test" not in found and test_fraction:
        found["train"], found["test"] = drawn(found["train"], "test", test_fraction, seed)
        val_fraction = val_fraction / (1 - test_fraction)  # of the whole
    if has_folders and "val" not in found:
        logger.info("%s has no folder val: %.3g of train is drawn for it.", root, val_fraction)
    if "val" not in found:
        found["train"], found["val"] = drawn(found["train"], "val", val_fraction, seed)
    return found


def _labelled(root: Path, classes: Selection | None) -> tuple[dict[str, Classes], bool]:
    """The image files of each class in `root`'s split folders, or in `root` as train; whether it has such folders."""
    folders = split_folders(root, classes)
    if not folders and classes is None:
        refuse_classes_that_may_be_splits(root)
    found = {
        split: selected(class_files(folder), classes, root)
        for split, folder in (folders or {"train": root}).items()
        if split != "test" or _is_labelled(folder)
    }
    for split in found.keys() - {"train"}:
        same_classes(found["train"], found[split], {"val": "validation"}.get(split, split))
    if len(found["train"]) == 1:
        (folder,) = {files[0].parent for files in found["train"].values()}
        raise DataError(
            f"{root} has images of one class alone (as in {folder}), which leaves nothing to learn: "
            "give the folder that holds a folder for each of several classes."
        )
    return found, bool(folders)


def folded(splits: Mapping[str, Classes], *, num_folds: int, fold: int, seed: int) -> dict[str, Classes]:
    """The splits, but with fold `fold` (from 0) of the training and validation photos as `val` and the rest as `train`.

    The `num_folds` folds are drawn by `seed`, stratified by class. Raises DataError if there is no such fold.
    """
    if not 0 <= fold < num_folds:
        raise DataError(
            f"datamodule.fold={fold}: choose from 0 to {num_folds - 1}, as datamodule.num_folds={num_folds}."
        )
    pairs = [(name, file) for name in splits["train"] for split in ("train", "val") for file in splits[split][name]]
    names = list(splits["train"])
    parts = stratified_folds(torch.tensor([names.index(name) for name, _ in pairs]), num_folds, seed=seed, repeat=0)
    found: dict[str, Classes] = {**splits, "train": {n: [] for n in names}, "val": {n: [] for n in names}}
    for (name, file), part in zip(pairs, parts.tolist(), strict=True):
        found["val" if part == fold else "train"][name].append(file)
    return found


def photos_of(root: Path, split: str, classes: Sequence[str], wanted: Selection | None) -> tuple[str, Classes]:
    """All photos of `root`, under the name `all`, or those in its folder for `split` if it has split folders.

    `classes` are a run's classes, and `wanted` its selection of them (selected). Raises DataError for no such split.
    """
    folders = split_folders(root, wanted, for_training=False)
    if folders and split not in folders:
        raise DataError(
            f"split={split}: {root} has no such folder, but {', '.join(folders)}: give split= or data_dir=."
        )
    inner = folders_in(root)
    below = {composed(path.name) for path in folders_in(inner[0])} if len(inner) == 1 else set()
    if not folders and below & {*classes} and composed(inner[0].name) not in classes:
        raise DataError(f"{root} holds no class of the run, but {inner[0]} does: give datamodule.data_dir={inner[0]}.")
    found = class_files(folders.get(split, root))
    if wanted is not None and not found.keys() <= set(classes):
        found = selected(found, present(wanted, found), root)
    return split if folders else "all", found


def present(wanted: Selection, found: Classes) -> Selection:
    """The part of a selection that exists."""
    existing = {name: [key for key in members if key in found] for name, members in members_of(wanted).items()}
    return {name: members for name, members in existing.items() if members}


def _is_labelled(folder: Path) -> bool:
    """Whether a test folder has class folders; those of competitions often have none."""
    labelled = bool(folders_in(folder))
    if not labelled:
        logger.info("Left out: %s, which has no folders of classes.", folder)
    return labelled


def drawn(classes: Classes, split: str, fraction: float, seed: int) -> tuple[Classes, Classes]:
    for files in classes.values():
        if len(files) == 1:
            raise DataError(f"{files[0]} is alone in its class, where training and validation need an image each.")
    if not 0 < fraction < 1:
        raise DataError(f"A fraction of {fraction:g} cannot be split off: set datamodule.{split}_fraction below 1.")
    pairs = [(name, file) for name, files in classes.items() for file in files]
    labels = torch.tensor([label for label, files in enumerate(classes.values()) for _ in files])
    parts: list[Classes] = []
    for indices in stratified_split(labels, float(fraction), seed=seed):
        part: Classes = {name: [] for name in classes}
        for index in indices.tolist():
            name, file = pairs[index]
            part[name].append(file)
        parts.append(part)
    return parts[0], parts[1]
