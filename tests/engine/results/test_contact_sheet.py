from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.errors import UserError
from engine.results.contact_sheet import SIZE, TILE, ContactSheet, line_height

HEIGHT = TILE + 2 * line_height(SIZE)


def solid(red: int, channels: int = 3) -> torch.Tensor:
    return torch.full((channels, 8, 8), red, dtype=torch.uint8)


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (5, 3, 2), (101, 10, 11)])
def test_photos_in_rows_each_over_its_words(count: int, columns: int, rows: int, tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "new" / "sheet.png", every=1)
    for number in range(count):
        sheet.add(solid(number), "ants 98%", "a.jpg")
    assert sheet.save()
    with Image.open(tmp_path / "new" / "sheet.png") as opened:
        picture = opened.copy()
    assert picture.size == (columns * TILE, rows * HEIGHT)
    for number in range(count):
        x, y = number % columns * TILE, number // columns * HEIGHT
        assert picture.getpixel((x + 5, y + 5)) == (number, number, number)
        words = picture.crop((x, y + TILE, x + TILE, y + HEIGHT)).convert("L")
        assert words.getextrema() == (0, 255)


def test_grey_photos_have_their_place(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.jpg", every=1)
    sheet.add(solid(200, channels=1), "7", "digit.png")
    assert sheet.save()
    with Image.open(tmp_path / "sheet.jpg") as picture:
        assert picture.mode == "RGB"


def test_without_photos_there_is_no_sheet(tmp_path: Path) -> None:
    assert not ContactSheet(tmp_path / "sheet.png", every=1).save()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.csv", "x.psd", "x.mpg", "x.h5", "x.grib", "x.wmf", "x"])
def test_a_suffix_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^contact_sheet=.*{name}: give an image file"):
        ContactSheet(tmp_path / name, every=1)
