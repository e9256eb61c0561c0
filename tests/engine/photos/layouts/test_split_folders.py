from pathlib import Path

import pytest

from engine.config.resolvers import count_classes
from engine.errors import DataError
from engine.photos.layouts.selection import Selection
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
        ("training_set", "validation_set", "test_set"),
        ("train_images", "val images", "TestPhotos"),
        ("train2017", "val2017"),
        ("Train ", "valid", "test1"),
        ("Training_data", "Validation_data"),
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
        ("test tube", "x"),
        ("train_1", "train_2"),
        ("testset", "x"),
        ("devil", "trainer"),
    ],
)
def test_classes_are_no_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    root = made(tmp_path, *names)
    assert split_folders(root) == {}
    assert count_classes(str(root)) == len(names)


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (
            ("ants", "bees", "test"),
            "test, a usual name of a split, beside ants, bees: list the classes, as in '",
        ),
        (("train", "bus", "car"), "train, a usual name of a split, beside bus, car"),
        (("train/a", "training/a", "val/a"), "are both for train: keep one of them"),
        (("val/a", "test/a"), "but no folder train"),
        (("a/train", "a/val", "b/train", "b/val"), "holds the splits of its class: this project reads train/a"),
    ],
)
def test_what_is_ambiguous_is_refused(folders: tuple[str, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        split_folders(made(tmp_path, *folders))
    assert says in str(caught.value)


@pytest.mark.parametrize("classes", [["ants", "bees"], ["test", "ants"], {"insects": ["ants", "bees"], "rest": "test"}])
def test_folders_that_are_selected_as_classes_are_classes(classes: Selection, tmp_path: Path) -> None:
    root = made(tmp_path, "ants", "bees", "test")
    assert split_folders(root, classes) == {}
    inside = made(tmp_path / "inside", *(f"{split}/{name}" for split in ("train", "val") for name in ("ants", "bees")))
    assert split_folders(inside, ["ants", "bees"]).keys() == {"train", "val"}


def test_splits_as_archives_unpack_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """seg_train/seg_train/<class>, and a folder to predict beside them."""
    root = made(tmp_path, *(f"seg_{split}/seg_{split}/{label}" for split in ("train", "test") for label in ("a", "b")))
    made(root, "seg_pred/seg_pred")
    with caplog.at_level("INFO"):
        found = split_folders(root)
    assert found == {split: root / f"seg_{split}" / f"seg_{split}" for split in ("train", "test")}
    assert "as not a split: seg_pred" in caplog.text
    assert count_classes(str(root)) == 2


def test_a_class_that_is_called_like_its_split_stays(tmp_path: Path) -> None:
    root = made(tmp_path, "train/train", "train/bus", "val/train", "val/bus")
    assert split_folders(root) == {split: root / split for split in ("train", "val")}
    assert count_classes(str(root)) == 2


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir"])
def test_what_systems_leave_is_no_class(name: str, tmp_path: Path) -> None:
    root = made(tmp_path, "ants", "bees", f"{name}/ants")
    assert split_folders(root) == {}
    assert count_classes(str(root)) == 2
