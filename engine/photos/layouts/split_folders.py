"""Which folders of a data set are its splits. Nothing here imports torch."""

import logging
import re
from pathlib import Path

from engine.errors import DataError

logger = logging.getLogger(__name__)

WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What splits are called, in any case and with a prefix such as `seg_`."""


def split_folders(root: Path, *, for_training: bool = True) -> dict[str, Path]:
    """The folders of `root` for train, val and test, as far as there are; none if its folders are classes.

    Raises:
        DataError: two are for one split, others beside one might be classes, each class holds folders of splits, or,
            `for_training`, there is one for another split but none for training.
    """
    folders = sorted(path for path in root.glob("[!.]*") if path.is_dir()) if root.is_dir() else []
    splits = {path: split for path in folders if (split := split_named(path.name))}
    if len({_prefix(path.name) for path in splits}) > 1 or {*splits.values()} in ({"train"}, {"test"}):
        splits = {path: split for path, split in splits.items() if not _prefix(path.name)}  # steam_train is a class
    others = [path.name for path in folders if path not in splits]
    if not splits:
        _refuse_splits_in_classes(folders)
        return {}
    named = ", ".join(path.name for path in splits)
    if others and {"train", "val"} <= set(splits.values()):
        logger.info("Left out of %s, as it is no split: %s.", root, ", ".join(others))
    elif others:
        raise DataError(
            f"{root} holds {named}, which a split may be called, beside {', '.join(others[:5])}: rename it if it is a "
            "class, or move it elsewhere if it is not."
        )
    found: dict[str, Path] = {}
    for path, split in splits.items():
        if split in found:
            raise DataError(f"{found[split]} and {path} are both for {split}: keep one of them.")
        found[split] = path
    if for_training and "train" not in found:
        raise DataError(
            f"{root} has {named}, but no folder train: add or rename one, or give the folder of class folders whose "
            "photos are to be split."
        )
    return found


def split_named(name: str) -> str | None:
    word = name.lower()[len(_prefix(name)) :]
    return next((split for split, words in WORDS.items() if word in words), None)


def _prefix(name: str) -> str:
    """`seg_` of `seg_train`."""
    return name.lower()[: len(name) - len(re.split(r"[_\-. ]", name)[-1])]


def refuse_classes_that_may_be_splits(root: Path) -> None:
    """DataError where all class folders hold nothing but the same folders: they may be splits of unusual names."""
    classes = [path for path in root.glob("[!.]*") if path.is_dir()]
    inner = [sorted(path.name for path in folder.glob("[!.]*")) for folder in classes]
    is_deep = all(path.is_dir() for folder in classes for path in folder.glob("[!.]*"))
    if len(inner) > 1 and len(inner[0]) > 1 and is_deep and all(names == inner[0] for names in inner):
        names = sorted(path.name for path in classes)
        raise DataError(
            f"{root} has {', '.join(names[:5])}, each with the folders {', '.join(inner[0][:5])}: if these are splits, "
            f"call them train and val; if they are classes, say datamodule.classes=[{','.join(names)}]."
        )


def _refuse_splits_in_classes(classes: list[Path]) -> None:
    inner = [{split_named(path.name) for path in folder.glob("[!.]*") if path.is_dir()} for folder in classes]
    if len(inner) > 1 and all({"train", "val"} <= names or {"train", "test"} <= names for names in inner):
        raise DataError(
            f"{classes[0]} holds the splits of its class: this project reads train/{classes[0].name} and "
            f"val/{classes[0].name}, so put the folders of splits above those of classes."
        )
