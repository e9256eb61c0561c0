"""Unusual photos, files and names that are read as documented. One row per kind."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.datamodules.small_photos import COLOURS, SIDE, folder, moved, photo, replaced


def saved(name: str, image: Image.Image, **options: Any) -> Callable[[Path], object]:
    return lambda root: image.save(root / "val/ants" / name, **options)


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.full((SIDE, SIDE), 30_000, dtype=np.uint16))


def upside_down() -> tuple[Image.Image, Image.Exif]:
    """The upper half is stored black, and displayed white."""
    image = photo((255, 255, 255))
    image.paste((0, 0, 0), (0, 0, SIDE, SIDE // 2))
    exif = Image.Exif()
    exif[0x0112] = 3
    return image, exif


TURNED, EXIF = upside_down()
GREY = round(30_000 / 257)

READ: dict[str, tuple[Callable[[Path], object], tuple[int, int, int]]] = {
    "16-bit grey PNG": (saved("x.png", sixteen_bits()), (GREY, GREY, GREY)),
    "16-bit grey TIFF": (saved("x.tiff", sixteen_bits()), (GREY, GREY, GREY)),
    "8-bit grey": (saved("x.jpg", Image.new("L", (SIDE, SIDE), 77)), (77, 77, 77)),
    "black and white": (saved("x.png", Image.new("1", (SIDE, SIDE), 1)), (255, 255, 255)),
    "CMYK JPEG": (saved("x.jpg", Image.new("CMYK", (SIDE, SIDE), (255, 0, 0, 51))), (0, 204, 204)),
    "palette": (saved("x.png", photo().quantize(4)), (10, 120, 240)),
    "transparent": (saved("x.png", Image.new("RGBA", (SIDE, SIDE), (10, 120, 240, 0))), (255, 255, 255)),
    "half transparent": (
        saved("x.webp", Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 51)), lossless=True),
        (204, 204, 204),
    ),
    "EXIF rotation": (saved("x.jpg", TURNED, exif=EXIF), (255, 255, 255)),
    "PNG with a JPEG's name": (saved("x.jpg", photo(), format="PNG"), (10, 120, 240)),
    "name in capitals": (saved("X.JPEG", photo()), (10, 120, 240)),
    "name that is not ASCII": (saved("虫 ñ 🐜.jpg", photo()), (10, 120, 240)),
    "name that is not UTF-8": (saved(os.fsdecode(b"\xe9.jpg"), photo()), (10, 120, 240)),
    "name of 255 bytes": (saved("x" * 251 + ".jpg", photo()), (10, 120, 240)),
}


@pytest.mark.parametrize("kind", READ)
def test_read_as_documented(kind: str, root: Path) -> None:
    write, colour = READ[kind]
    write(root)
    datamodule = folder(root)
    (index,) = (i for i, file in enumerate(datamodule.val.files) if file.name not in ("0.jpg", "1.jpg", "2.jpg"))
    pixels = datamodule.images("val", [index])[0] * 255
    assert pixels.shape == (3, SIDE, SIDE)
    # JPEG's colours are rounded, in one build of its library otherwise than in another.
    assert (pixels[:, 2, 2] - torch.tensor(colour)).abs().max() <= 3
    assert len(datamodule.digest) == 64


@pytest.mark.parametrize("name", [".DS_Store", "._0.jpg", ".hidden.jpg", "Thumbs.db", "notes.txt", ".git/config"])
def test_files_that_are_no_images_are_left_out(name: str, root: Path) -> None:
    (root / "train/ants" / name).parent.mkdir(exist_ok=True)
    replaced(f"train/ants/{name}", b"x")(root)
    assert folder(root).counts() == {"train": 6, "val": 6}


@pytest.mark.parametrize("place", ["train/__MACOSX/ants", "train/ants/@eaDir", "__MACOSX/train/ants"])
def test_what_systems_leave_is_passed_over(place: str, root: Path) -> None:
    """Of archives from Macs, and thumbnails of network drives, which are doubles."""
    (root / place).mkdir(parents=True)
    shutil.copy(next((root / "train/ants").glob("*")), root / place / "x.png")
    assert folder(root).counts() == {"train": 6, "val": 6}


def test_class_names_may_be_any_text(root: Path) -> None:
    names = ("Ärger mit Wespen", "蜜蜂" * 42)  # 252 bytes
    for split in ("train", "val"):
        for old, new in zip(COLOURS, names, strict=True):
            moved(f"{split}/{old}", f"{split}/{new}")(root)
    assert folder(root).classes == sorted(names)
