"""Every kind of bad data that we know of: refused before training in one sentence that names it, or read as documented.

A row a kind. What is refused while photos are decoded is in test_image_folder.py, for all formats in test_images.py.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.cifar10 import CIFAR10
from datamodules.image_folder import ImageFolder
from datamodules.stand_ins import write as stand_in
from datamodules.stand_ins.write import write_cifar10
from engine.errors import DataError
from tests.pictures import flat_png

SIDE = 24
COLOURS = {"ants": (200, 40, 40), "bees": (40, 40, 200)}
MAX_PIXELS = 1_000_000


def photo(colour: tuple[int, int, int] = (10, 120, 240)) -> Image.Image:
    """One colour all over, so that JPEG's compression takes nothing of it."""
    return Image.new("RGB", (SIDE, SIDE), colour)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """train/ and val/ with ants/ and bees/ of three photos each."""
    for split in ("train", "val"):
        for name, colour in COLOURS.items():
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                photo(colour).save(folder / f"{index}.jpg")
    return tmp_path / "photos"


def folder(root: Path) -> ImageFolder:
    as_it_is: dict[str, Any] = {
        "train_transform": torch.clone,
        "eval_transform": torch.clone,
        "mean": None,
        "std": None,
    }
    sizes = {
        "val_fraction": 0.5,
        "classes": None,
        "test_fraction": 0,
        "num_folds": None,
        "fold": 0,
        "balance": "none",
        "image_size": SIDE,
        "batch_size": 2,
        "eval_batch_size": 3,
        "num_workers": 0,
        "worker_timeout": 0,
    }
    datamodule = ImageFolder(
        data_dir=str(root),
        num_classes=2,
        max_pixels=MAX_PIXELS,
        keep_decoded=0,
        index_dir=None,
        seed=0,
        seed_split=0,
        **as_it_is,
        **sizes,
    )
    datamodule.setup("fit")
    return datamodule


# Refused ------------------------------------------------------------------------------------------------------------


class Refused(NamedTuple):
    spoil: Callable[[Path], object]  # gets the folder that `root` makes
    says: str


def replaced(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(content)


def cut(name: str, kind: str) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / name, kind)
        os.truncate(root / name, (root / name).stat().st_size * 2 // 3)

    return spoil


def linked(name: str, target: str) -> Callable[[Path], object]:
    return lambda root: (root / name).symlink_to(target)


def moved(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)


def floats(root: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(root / "val/ants/x.tiff")


REFUSED = {
    "missing root": Refused(shutil.rmtree, r"photos is no folder: expected one with"),
    "file in the root's place": Refused(
        lambda root: (shutil.rmtree(root), root.write_text("")), r"photos is a file: expected a folder"
    ),
    "link to nothing in the root's place": Refused(
        lambda root: (shutil.rmtree(root), root.symlink_to("unmounted")), r"photos is no folder: expected"
    ),
    "empty root": Refused(
        lambda root: (shutil.rmtree(root), root.mkdir()),
        r"photos has no folders: expected one of images for each class",
    ),
    "missing training folder": Refused(
        lambda root: shutil.rmtree(root / "train"), r"photos has val, but no folder train: add"
    ),
    "one class alone": Refused(
        lambda root: [shutil.rmtree(root / split / "bees") for split in ("train", "val")],
        r"photos has images of one class alone \(as in .*train/ants\), .*: give the folder that",
    ),
    "empty class": Refused(
        lambda root: [(root / split / "wasps").mkdir() for split in ("train", "val")],
        r"train/wasps holds no image .*: fill or remove this class",
    ),
    "class of files that are no images by their names": Refused(
        lambda root: [(root / "val/bees" / f"{i}.jpg").rename(root / "val/bees" / f"{i}.cr2") for i in range(3)],
        r"val/bees holds no image \(\.jpg, .*\): fill or remove this class",
    ),
    "hidden folder with images": Refused(
        lambda root: shutil.copytree(root / "train/ants", root / "train/.ipynb_checkpoints"),
        r"train/\.ipynb_checkpoints is a hidden folder with 3 images: remove it, or rename it",
    ),
    "hidden folder with images in a class": Refused(
        lambda root: shutil.copytree(root / "val/ants", root / "val/ants/.thumbnails"),
        r"val/ants/\.thumbnails is a hidden folder with 3 images: remove it",
    ),
    "different classes": Refused(
        moved("val/bees", "val/wasps"),
        r"different classes, 'bees' only in training .* 'wasps' only in validation .*: add",
    ),
    "different spelling of a class": Refused(
        moved("val/bees", "val/Bees"), r"'bees' only in training .*'Bees' only in"
    ),
    "two names of one folder": Refused(
        linked("train/wasps", "bees"), r"train/bees and .*wasps are one folder, .*: remove"
    ),
    "folder within itself": Refused(
        linked("train/bees/up", "."), r"bees and .*bees/up are one folder, .*: remove the l"
    ),
    "name that cannot be shown": Refused(
        moved("train/bees", os.fsdecode(b"train/be\xe9s")), r"'be\\udce9s': rename it"
    ),
    "truncated JPEG": Refused(
        cut("val/bees/1.jpg", "JPEG"), r"bees/1\.jpg .*\(it is cut short\): repair it, or remove it"
    ),
    "truncated PNG": Refused(
        cut("val/bees/x.png", "PNG"), r"bees/x\.png .*\(it is cut short\): repair it, or remove it"
    ),
    "empty file": Refused(replaced("train/ants/2.jpg", b""), r"ants/2\.jpg is empty: repair it, or remove it"),
    "garbage with an image's name": Refused(
        replaced("train/ants/2.jpg", os.urandom(500)),
        r"ants/2\.jpg is not an image of a known format: repair it, or rem",
    ),
    "web page with an image's name": Refused(
        replaced("train/ants/2.jpg", b"<!DOCTYPE html><title>404</title>"),
        r"ants/2\.jpg is a web page and no image: download",
    ),
    "values without a range": Refused(
        floats, r"ants/x\.tiff .*\(floating-point values have no known range\): repair it"
    ),
    "200 megapixels": Refused(
        replaced("val/ants/x.png", flat_png(20_000, 10_000)),
        r"ants/x\.png has 20000 × 10000 pixels where at most 1,000,000 are allowed: .* raise datamodule\.max_pixels",
    ),
    "more bytes than an image can have": Refused(
        lambda root: os.truncate(root / "val/ants/1.jpg", 10**11),
        r"ants/1\.jpg has 100,000,000,000 bytes, too many .*: scale",
    ),
    "link to nothing with an image's name": Refused(
        linked("val/ants/x.jpg", "gone.jpg"),
        r"ants/x\.jpg cannot be read \(No such file.*\): repair the link or the perm",
    ),
    "unreadable file": Refused(
        linked("val/ants/x.jpg", "x.jpg"),
        r"ants/x\.jpg cannot be read \(Too many levels of symb.*\): repair the link or",
    ),
    "link to nothing in a class's place": Refused(
        linked("train/wasps", "/mnt/wasps"), r"wasps is a link to nothing: mend"
    ),
    "folder with an image's name": Refused(
        lambda root: (root / "val/ants/x.jpg").mkdir(),
        r"ants/x\.jpg is a folder where an image was expected: rename or",
    ),
    "pipe with an image's name": Refused(
        lambda root: os.mkfifo(root / "val/ants/x.jpg"), r"ants/x\.jpg is a folder, pipe or device where .*: remove it"
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_before_training(kind: str, root: Path) -> None:
    assert folder(root).counts() == {"train": 6, "val": 6}
    spoil, says = REFUSED[kind]
    spoil(root)
    with pytest.raises(DataError, match=says) as caught:
        folder(root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin"])
def test_labels_out_of_range_are_refused_before_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "RECORDS", 20)
    file = write_cifar10(tmp_path / "stand-in") / name
    content = bytearray(file.read_bytes())
    content[5 * 3073] = 10
    file.write_bytes(content)
    plain: dict[str, Any] = {"flip": "none", "translate": 0, "cutout": 0, "mean": None, "std": None, "drop_last": False}
    sizes = {"val_size": 5000, "batch_size": 4, "eval_batch_size": 4, "chunk": 1, "num_classes": 10, "seed": 0}
    datamodule = CIFAR10(data_dir=str(tmp_path), stand_in=True, **plain, **sizes)
    with pytest.raises(
        DataError, match=rf"{name} is not in CIFAR-10's binary format: it has a label 10, above 9; remove"
    ):
        datamodule.setup("fit")


# Read as documented -------------------------------------------------------------------------------------------------


def saved(name: str, image: Image.Image, **options: Any) -> Callable[[Path], object]:
    return lambda root: image.save(root / "val/ants" / name, **options)


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.full((SIDE, SIDE), 30_000, dtype=np.uint16))


def upside_down() -> tuple[Image.Image, Image.Exif]:
    """The upper half black as it is stored, and white as it is meant to be seen."""
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
