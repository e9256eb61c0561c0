import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.stand_ins.insects import draw_insect
from engine.data_check.duplicates import alike, identical
from engine.photos.images import read_thumbnail
from engine.photos.photo_index import PhotoIndex


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    files = [folder / f"{number}.jpg" for number in range(12)]
    for number, file in enumerate(files):
        draw_insect("ants" if number % 2 else "bees", np.random.default_rng(number)).save(file)
    return files


def thumbnails(files: list[Path]) -> torch.Tensor:
    return torch.stack([read_thumbnail(file, 64, 10**8) for file in files])


def test_equal_bytes_under_other_names(photos: list[Path], tmp_path: Path) -> None:
    copies = [Path(shutil.copy(photos[number], tmp_path / f"copy{number}.png")) for number in (3, 5, 3)]
    twin = tmp_path / "same size.jpg"
    twin.write_bytes(bytes(reversed(photos[0].read_bytes())))
    assert identical(PhotoIndex([*photos, *copies[:2], twin])) == [[3, 12], [5, 13]]
    assert identical(PhotoIndex(photos)) == []


@pytest.mark.parametrize(("scale", "quality"), [(0.25, 60), (0.6, 80), (1.7, 95)])
def test_copies_in_other_sizes(scale: float, quality: int, photos: list[Path], tmp_path: Path) -> None:
    with Image.open(photos[4]) as image:
        size = (round(image.width * scale), round(image.height * scale))
        image.resize(size).save(tmp_path / "copy.jpg", quality=quality)
    assert alike(thumbnails([*photos, tmp_path / "copy.jpg"])) == [(4, 12)]


def test_plain_photos_are_not_compared(tmp_path: Path) -> None:
    for name, level in (("a", 100), ("b", 101)):
        Image.new("RGB", (80, 80), (level, level, level)).save(tmp_path / f"{name}.png")
    assert alike(thumbnails([tmp_path / "a.png", tmp_path / "b.png"])) == []
