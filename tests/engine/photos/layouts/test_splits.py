import logging
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DataError
from engine.photos.layouts.class_folders import Classes, class_files
from engine.photos.layouts.splits import folded, photos_of, splits_of
from tests.engine.photos.layouts.test_class_folders import put


def splits(root: Path, **settings: Any) -> dict[str, Classes]:
    return splits_of(root, **{"val_fraction": 0.3, "test_fraction": 0, "seed": 0, **settings})


def numbered(*folders: str, count: int = 10) -> list[str]:
    return [f"{folder}/{index}.jpg" for folder in folders for index in range(count)]


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    return put(tmp_path, *numbered("ants", "bees"))


def test_class_folders_are_split_by_class(flat: Path) -> None:
    drawn = splits(flat)
    assert drawn.keys() == {"train", "val"}
    for name, files in class_files(flat).items():
        assert (len(drawn["train"][name]), len(drawn["val"][name])) == (7, 3)
        assert sorted(drawn["train"][name] + drawn["val"][name]) == files
        assert drawn["val"][name] == sorted(drawn["val"][name])
    assert drawn == splits(flat)
    assert any(splits(flat, seed=seed)["val"] != drawn["val"] for seed in (1, 2))


def test_both_fractions_are_of_the_whole(flat: Path) -> None:
    drawn = splits(flat, val_fraction=0.2, test_fraction=0.2)
    for name, files in class_files(flat).items():
        sizes = {split: len(classes[name]) for split, classes in drawn.items()}
        assert sizes == {"train": 6, "val": 2, "test": 2}
        assert sorted(file for classes in drawn.values() for file in classes[name]) == files


def test_folds_hold_each_photo_out_once(flat: Path) -> None:
    whole = splits(flat, test_fraction=0.2)
    parts = [folded(whole, num_folds=4, fold=fold, seed=0) for fold in range(4)]
    for name in ("ants", "bees"):
        kept = sorted([*whole["train"][name], *whole["val"][name]])
        assert sorted(file for part in parts for file in part["val"][name]) == kept
        for part in parts:
            assert sorted([*part["train"][name], *part["val"][name]]) == kept
            assert part["test"] == whole["test"]
            assert len(part["val"][name]) == 2
    assert folded(whole, num_folds=4, fold=0, seed=1) != parts[0]
    with pytest.raises(DataError, match=r"^datamodule\.fold=4: choose from 0 to 3, as datamodule\.num_folds=4\.$"):
        folded(whole, num_folds=4, fold=4, seed=0)


def test_folders_of_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{name}/1.jpg" for split in ("Train", "VALID", "testing") for name in ("ants", "bees")))
    put(tmp_path, "readme/1.jpg")
    assert splits(tmp_path, test_fraction=0.2) == {
        split: {name: [tmp_path / folder / name / "1.jpg"] for name in ("ants", "bees")}
        for split, folder in {"train": "Train", "val": "VALID", "test": "testing"}.items()
    }


@pytest.mark.parametrize("given", [("train",), ("train", "test")])
def test_a_split_without_a_folder_is_drawn_from_training(given: tuple[str, ...], tmp_path: Path) -> None:
    put(tmp_path, *numbered(*(f"{split}/{name}" for split in given for name in ("ants", "bees"))))
    drawn = splits(tmp_path)
    assert drawn.keys() == {"val", *given}
    assert [len(drawn[split]["ants"]) for split in ("train", "val")] == [7, 3]
    assert {file.parents[1].name for file in (*drawn["train"]["ants"], *drawn["val"]["ants"])} == {"train"}


def test_a_test_folder_without_labels_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, *numbered("train/ants", "train/bees", "val/ants", "val/bees", count=2), "test/1.jpg")
    with caplog.at_level(logging.INFO):
        assert splits(tmp_path).keys() == {"train", "val"}
    assert "test, which has no folders of classes" in caplog.text


@pytest.mark.parametrize("test", ["ants", "wasps"])
def test_a_test_needs_the_same_classes(test: str, tmp_path: Path) -> None:
    put(tmp_path, *numbered("train/ants", "train/bees", "val/ants", "val/bees", f"test/{test}", count=2))
    with pytest.raises(DataError, match="Training and test have different classes"):
        splits(tmp_path)


@pytest.mark.parametrize(
    ("classes", "counts"),
    [
        (["ants", "cats"], {"ants": 10, "cats": 10}),
        ({"insects": ["ants", "bees"], "cats": ["cats"]}, {"cats": 10, "insects": 20}),
        ({"insects": ["ants", "bees"], "pets": "cats"}, {"insects": 20, "pets": 10}),
    ],
)
def test_classes_select_and_merge(classes: Any, counts: dict[str, int], tmp_path: Path) -> None:
    put(tmp_path, *numbered("ants", "bees", "cats"))
    drawn = splits(tmp_path, classes=classes)
    assert {name: len(drawn["train"][name]) + len(drawn["val"][name]) for name in drawn["train"]} == counts
    assert list(drawn["train"]) == list(drawn["val"]) == list(counts)


def test_a_class_that_is_not_there(flat: Path) -> None:
    with pytest.raises(DataError, match=r"names ant, which .* does not have: did you mean ants"):
        splits(flat, classes=["ant", "bees"])


def test_names_in_two_forms_of_unicode_are_one_class(tmp_path: Path) -> None:
    """A zip archive from a Mac writes é as e and an accent."""
    put(tmp_path, "train/gu\u00eape/1.jpg", "train/ants/1.jpg", "val/gue\u0302pe/1.jpg", "val/ants/1.jpg")
    assert list(splits(tmp_path)["val"]) == ["ants", "gu\u00eape"]
    put(tmp_path, "val/gu\u00eape/1.jpg")
    with pytest.raises(DataError, match=r"two folders called guêpe, in two forms of Unicode .*: merge them"):
        splits(tmp_path)


def test_classes_that_hold_the_same_folders_may_be_splits(tmp_path: Path) -> None:
    put(tmp_path, *numbered("part1/ants", "part1/bees", "part2/ants", "part2/bees", count=3))
    with pytest.raises(DataError, match=r"part1, part2, each with the folders ants, bees: if these are splits, call"):
        splits(tmp_path)
    assert list(splits(tmp_path, classes=["part1", "part2"])["train"]) == ["part1", "part2"]


@pytest.mark.parametrize(
    ("files", "match"),
    [
        (["val/ants/1.jpg", "val/bees/1.jpg"], "but no folder train: add or rename"),
        (["ants/1.jpg", "ants/2.jpg"], r"images of one class alone \(as in .*ants\)"),
        (["set/train/1.jpg", "set/val/1.jpg"], "images of one class alone"),
        (["ants/1.jpg", "ants/2.jpg", "bees/1.jpg"], r"bees/1\.jpg is alone in its class"),
    ],
)
def test_what_cannot_be_split_is_named(files: list[str], match: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=match):
        splits(put(tmp_path, *files))


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"val_fraction": 3}, "A fraction of 3"), ({"val_fraction": 0.6, "test_fraction": 0.5}, "val_fraction below 1")],
)
def test_a_fraction_that_is_no_share_is_refused(settings: dict[str, float], match: str, flat: Path) -> None:
    with pytest.raises(DataError, match=match):
        splits(flat, **settings)


def test_other_photos_in_a_folder_too_many(tmp_path: Path) -> None:
    """test_set/test_set/<class>, as archives unpack: nothing is guessed, but what to type is said."""
    root = put(tmp_path / "test_set", "test_set/cats/1.jpg", "test_set/dogs/1.jpg")
    with pytest.raises(
        DataError, match=r"no class of the run, but .*: give datamodule.data_dir=.*/test_set/test_set\.$"
    ):
        photos_of(root, "val", ["cats", "dogs"], None)
    assert photos_of(root / "test_set", "val", ["cats", "dogs"], None)[0] == "all"
    assert photos_of(put(tmp_path / "own", "val/cats/1.jpg"), "val", ["cats", "dogs"], None)[0] == "val"
