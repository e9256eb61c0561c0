"""Small pictures of photos, as the projector shows them (callbacks/projector.py)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.digits import Digits
from engine.errors import DataError
from engine.features import features as features_module
from engine.features.features import Features
from engine.photos.images import read_thumbnail

SIDE = 16


def two_colours(size: tuple[int, int]) -> Image.Image:
    """Left red, right blue."""
    picture = Image.new("RGB", size, (220, 30, 30))
    picture.paste((30, 30, 220), (size[0] // 2, 0, *size))
    return picture


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_the_middle_of_a_photo(name: str, tmp_path: Path) -> None:
    wide = Image.new("RGB", (400, 100), (30, 220, 30))
    wide.paste(two_colours((100, 100)), (150, 0))
    wide.save(tmp_path / name, quality=95)
    thumbnail = read_thumbnail(tmp_path / name, SIDE, 10**6)
    assert (thumbnail.shape, thumbnail.dtype) == ((3, SIDE, SIDE), torch.uint8)
    left, right = thumbnail[:, 4, 3], thumbnail[:, 4, -4]
    assert (left - torch.tensor([220, 30, 30])).abs().max() < 20
    assert (right.int() - torch.tensor([30, 30, 220])).abs().max() < 20


def test_it_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    two_colours((64, 64)).save(tmp_path / "turned.jpg", exif=exif)
    thumbnail = read_thumbnail(tmp_path / "turned.jpg", SIDE, 10**6)
    assert thumbnail[2, 8, 1] > 150, "blue is on the left now"


def test_sixteen_bits_are_rescaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 32896, np.uint16)).save(tmp_path / "grey.png")
    assert (read_thumbnail(tmp_path / "grey.png", SIDE, 10**6) == 128).all()


def test_a_file_that_is_no_photo(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("no photo")
    with pytest.raises(DataError, match=r"x\.jpg"):
        read_thumbnail(tmp_path / "x.jpg", SIDE, 10**6)


def test_images_in_memory() -> None:
    none: Any = None
    digits = Digits(
        num_classes=10, val_size=180, test_size=360, flip="none", translate=0, cutout=0, mean=none, std=none,
        batch_size=4, eval_batch_size=4, drop_last=False, chunk=1, seed=0,
    )  # fmt: skip
    digits.setup("fit")
    indices = [3, 5]
    same = digits.thumbnails("val", indices, 32)
    assert torch.equal(same.float() / 255, digits.images("val", indices))
    assert digits.thumbnails("val", indices, SIDE).shape == (2, 3, SIDE, SIDE)


def test_those_of_features_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[int]] = []

    def thumbnails(split: str, indices: list[int], side: int) -> torch.Tensor:
        made.append(indices)
        return torch.tensor(indices, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side)

    files = [tmp_path / f"{number}.jpg" for number in range(4)]
    photos = SimpleNamespace(val=SimpleNamespace(files=files), root=tmp_path, digest="d", thumbnails=thumbnails)
    for _ in range(2):
        features: Any = object.__new__(Features)
        features.__dict__ |= {"photos": photos, "cache_dir": tmp_path / "cache"}
        found = features_module.Features.thumbnails(features, "val", [1, 3], SIDE)
        assert (found.dtype, found[:, 0, 0, 0].tolist()) == (torch.uint8, [1, 3])
    assert made == [[1, 3]]
    features_module.Features.thumbnails(features, "val", [0], SIDE)
    assert made == [[1, 3], [0]]
