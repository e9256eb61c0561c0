from pathlib import Path

import pytest

from engine.config.resolvers import count_classes
from engine.errors import DataError
from engine.photos.layouts.split_folders import split_folders


def made(root: Path, *folders: str) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val"),
        ("Train", "Val", "Test"),
        ("training", "validation", "testing"),
        ("seg_train", "seg_val", "seg_test"),
        ("TRAIN", "valid"),
        ("my-train", "my-dev"),
    ],
)
def test_splits_by_their_usual_names(names: tuple[str, ...], tmp_path: Path) -> None:
    root = made(tmp_path, *(f"{name}/{label}" for name in names for label in ("a", "b", "c")))
    assert split_folders(root) == {
        split: root / name for split, name in zip(("train", "val", "test"), names, strict=False)
    }
    assert count_classes(str(root)) == 3


@pytest.mark.parametrize(
    "names",
    [
        ("ants", "bees"),
        ("trained_dogs", "cats"),
        ("developer", "values"),
        (),
        ("steam_train", "bus"),
        ("pregnancy test", "x"),
        ("freight_train", "express_train"),
    ],
)
def test_classes_are_no_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    root = made(tmp_path, *names)
    assert split_folders(root) == {}
    assert count_classes(str(root)) == len(names)


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (("ants", "bees", "test"), "test, which a split may be called, beside ants, bees: rename it if it is a class"),
        (("train", "bus", "car"), "train, which a split may be called, beside bus, car"),
        (("train/a", "training/a", "val/a"), "are both for train: keep one of them"),
        (("val/a", "test/a"), "but no folder train"),
        (("a/train", "a/val", "b/train", "b/val"), "holds the splits of its class: this project reads train/a"),
    ],
)
def test_what_is_ambiguous_is_refused(folders: tuple[str, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        split_folders(made(tmp_path, *folders))
    assert says in str(caught.value)
