"""Finds the folders of a data set that are its splits. Nothing here imports torch."""

import logging
import re
from pathlib import Path

from engine.errors import DataError
from engine.photos.layouts.folders import folders_in, is_seen
from engine.photos.layouts.selection import Selection, composed, members_of

logger = logging.getLogger(__name__)

WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What splits are called, in any case, with a prefix such as `seg_` or an ending such as `_set`, `_images`, `2017`."""

NAMED = re.compile(
    rf"(?P<prefix>.*[_\-. ])?(?P<word>{'|'.join(word for words in WORDS.values() for word in words)})"
    r"(?P<ending>([_\-. ]?(set|data|dataset|images|imgs|photos|pictures|folder|split))?[_\-. ]?\d{0,4})"
)


def split_folders(root: Path, classes: Selection | None = None, *, for_training: bool = True) -> dict[str, Path]:
    """The folders in `root` for train, val and test, those that exist; none if its folders are classes.

    They are classes, whatever their names, if `classes` (datamodule.classes) is a selection of them.

    Raises:
        DataError: two folders are for the same split, other folders beside them might be classes, each class contains
            split folders, or (`for_training`) there is a folder for another split but none for training.
    """
    folders = folders_in(root)
    chosen = {key for members in members_of(classes or []).values() for key in members}
    if chosen and chosen <= {composed(path.name) for path in folders}:
        return {}
    splits = {path: split for path in folders if (split := split_named(path.name))}
    if len({_affixes(path.name)[0] for path in splits}) > 1 or len({*splits.values()}) == 1:
        splits = {
            path: split for path, split in splits.items() if not any(_affixes(path.name))
        }  # steam_train is a class
    others = [path.name for path in folders if path not in splits]
    if not splits:
        _refuse_splits_in_classes(folders)
        return {}
    named = ", ".join(path.name for path in splits)
    if others and "train" in splits.values() and len(splits) > 1:
        logger.info("Left out of %s, as not a split: %s.", root, ", ".join(others))
    elif others:
        raise DataError(
            f"{root} holds {named}, a usual name of a split, beside {', '.join(others[:5])}: list the classes, as in "
            f"'datamodule.classes=[{','.join(others[:5])}]', or rename the folders (splits: train, val, test)."
        )
    found: dict[str, Path] = {}
    for path, split in splits.items():
        if split in found:
            raise DataError(f"{found[split]} and {path} are both for {split}: keep one of them.")
        found[split] = _doubled(path, split)
    if for_training and "train" not in found:
        raise DataError(
            f"{root} has {named}, but no folder train: add or rename one, or give the folder of class folders whose "
            "photos should be split."
        )
    return found


def split_named(name: str) -> str | None:
    found = NAMED.fullmatch(name.strip().lower())
    return next(split for split, words in WORDS.items() if found["word"] in words) if found else None


def _affixes(name: str) -> tuple[str, str]:
    """`seg_` and `` of `seg_train`, `` and `_set` of `train_set`."""
    found = NAMED.fullmatch(name.strip().lower())
    return (found["prefix"] or "", found["ending"]) if found else ("", "")


def _doubled(folder: Path, split: str) -> Path:
    """The inner folder of `training_set/training_set`, as some archives unpack, if it is all there is."""
    inner = folders_in(folder)
    return inner[0] if len(inner) == 1 and split_named(inner[0].name) == split and folders_in(inner[0]) else folder


def refuse_classes_that_may_be_splits(root: Path) -> None:
    """Raises DataError if all class folders contain just the same folders, which may be splits with unusual names."""
    classes = folders_in(root)
    inner = [[path.name for path in folders_in(folder)] for folder in classes]
    is_deep = all(path.is_dir() for folder in classes for path in folder.glob("[!.]*") if is_seen(path.name))
    if len(inner) > 1 and len(inner[0]) > 1 and is_deep and all(names == inner[0] for names in inner):
        names = sorted(path.name for path in classes)
        raise DataError(
            f"{root} has {', '.join(names[:5])}, each with the folders {', '.join(inner[0][:5])}: if these are splits, "
            f"call them train and val; if they are classes, give datamodule.classes=[{','.join(names)}]."
        )


def _refuse_splits_in_classes(classes: list[Path]) -> None:
    inner = [{split_named(path.name) for path in folders_in(folder)} for folder in classes]
    if len(inner) > 1 and all({"train", "val"} <= names or {"train", "test"} <= names for names in inner):
        raise DataError(
            f"{classes[0]} holds the splits of its class: this project reads train/{classes[0].name} and "
            f"val/{classes[0].name}, so put the folders of splits above those of classes."
        )
