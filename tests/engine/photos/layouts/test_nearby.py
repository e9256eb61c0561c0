"""The folder that was meant."""

from pathlib import Path

import pytest

from engine.errors import DataError
from engine.photos.layouts.nearby import meant
from engine.photos.layouts.splits import splits_of


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A data set with two splits, beside a folder of something else."""
    for name in ("train/ants", "train/bees", "val/ants", "val/bees"):
        folder = tmp_path / "my" / "photos" / name
        folder.mkdir(parents=True)
        for number in range(2):
            (folder / f"{number}.jpg").write_bytes(b"")
    (tmp_path / "my" / "thesis").mkdir()
    return tmp_path / "my" / "photos"


@pytest.mark.parametrize("given", ["../..", "..", "train/ants", "../photo", "val/bees"])
def test_the_data_set_near_it(given: str, photos: Path) -> None:
    root = (photos / given).resolve()
    assert meant(root) == photos
    with pytest.raises(DataError) as caught:
        splits_of(root, val_fraction=0.2, test_fraction=0, seed=0)
    assert str(caught.value).endswith(f"; did you mean {photos}?")


def test_nothing_near(tmp_path: Path) -> None:
    assert meant(tmp_path / "none" / "nowhere") is None
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert meant(tmp_path / "a") is None


def test_a_flat_folder_of_classes(photos: Path) -> None:
    (photos / "train").rename(photos.parent.parent / "flat")
    assert meant(photos.parent.parent / "flat" / "ants") == photos.parent.parent / "flat"


def test_a_folder_around_the_classes(photos: Path, tmp_path: Path) -> None:
    """As archives unpack: photos/photos/<class>."""
    inner = tmp_path / "unpacked" / "photos"
    inner.parent.mkdir()
    (photos / "train").rename(inner)
    assert meant(tmp_path / "unpacked") == inner
    (tmp_path / "unpacked" / "others").mkdir()
    assert meant(tmp_path / "unpacked") is None, "a class that holds classes"


def test_photos_without_folders_are_of_no_data_set(tmp_path: Path) -> None:
    for name in ("cats and dogs/cat.1.jpg", "thesis/title.txt", "holiday/notes.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert meant(tmp_path / "cats and dogs") is None
