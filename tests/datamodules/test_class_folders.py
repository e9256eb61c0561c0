import os
from pathlib import Path

import pytest
import torch

from datamodules.class_folders import class_files, same_classes, stratified_split
from datamodules.errors import DataError


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def names_of(root: Path) -> dict[str, list[str]]:
    return {name: [file.relative_to(root).as_posix() for file in files] for name, files in class_files(root).items()}


def test_images_come_by_class_in_order(tmp_path: Path) -> None:
    put(tmp_path, "bees/2.PNG", "bees/10.jpg", "bees/1.jpeg", "ants/b/1.webp", "ants/a.tiff")
    found = names_of(tmp_path)
    assert list(found) == ["ants", "bees"]
    assert found == {"ants": ["ants/a.tiff", "ants/b/1.webp"], "bees": ["bees/1.jpeg", "bees/10.jpg", "bees/2.PNG"]}


def test_what_is_no_image_of_a_class_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "ants/1.jpg", "ants/imageNotFound.gif", "ants/Thumbs.db", "ants/._1.jpg", "logo.png", ".cache/x.bin")
    assert names_of(tmp_path) == {"ants": ["ants/1.jpg"]}


def test_linked_class_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "far", "1.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "ants").symlink_to(tmp_path / "far", target_is_directory=True)
    assert names_of(tmp_path / "root") == {"ants": ["ants/1.jpg"]}


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ([], "has no folders"),
        (["1.jpg", ".hidden/readme.txt"], "has no folders"),
        (["ants/1.jpg", "bees/1.gif"], "bees holds no image"),
        (["ants/1.jpg", ".ipynb_checkpoints/1.jpg"], r"\.ipynb_checkpoints is a hidden folder with 1 images"),
        (["ants/1.jpg", "ants/.ipynb_checkpoints/1.jpg"], r"ants/\.ipynb_checkpoints is a hidden folder"),
    ],
)
def test_folder_at_fault_is_named(tmp_path: Path, files: list[str], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        class_files(put(tmp_path, *files))
    assert str(tmp_path) in str(caught.value)


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        class_files(tmp_path / "nowhere")


def test_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "ants/1.jpg", "bees/1.jpg")
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "bees":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"bees cannot be read \(Permission denied\)"):
        class_files(tmp_path)


def test_different_classes_are_named(tmp_path: Path) -> None:
    train = class_files(put(tmp_path / "train", "ants/1.jpg", "bees/1.jpg"))
    val = class_files(put(tmp_path / "val", "ants/1.jpg", "wasps/1.jpg"))
    same_classes(train, train)
    with pytest.raises(
        DataError, match=r"'bees' only in training .*train/bees.*'wasps' only in validation .*val/wasps"
    ):
        same_classes(train, val)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
def test_split_is_stratified_and_complete(fraction: float) -> None:
    labels = [0] * 50 + [2] * 2 + [1] * 11
    train, val = stratified_split(labels, fraction, 3)
    assert sorted(train + val) == list(range(63))
    assert (train, val) == (sorted(train), sorted(val))
    for label, count in ((0, 50), (1, 11), (2, 2)):
        held_out = sum(labels[index] == label for index in val)
        assert 1 <= held_out <= count - 1
        assert abs(held_out - fraction * count) <= 0.5 or held_out in (1, count - 1)


def test_split_depends_on_its_seed_alone() -> None:
    labels = [0, 1] * 50
    torch.manual_seed(0)
    first, state = stratified_split(labels, 0.3, 0), torch.get_rng_state()
    torch.manual_seed(1)
    assert stratified_split(labels, 0.3, 0) == first
    assert stratified_split(labels, 0.3, 1) != first
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_split_is_drawn_from_the_whole_class() -> None:
    drawn = {index for seed in range(60) for index in stratified_split([0] * 10, 0.3, seed)[1]}
    assert drawn == set(range(10))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="val_fraction"):
        stratified_split([0, 0], fraction, 0)


def test_class_of_one_cannot_be_split() -> None:
    with pytest.raises(DataError, match="Class 7"):
        stratified_split([0, 0, 7], 0.5, 0)
