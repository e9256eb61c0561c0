"""Every kind of bad data that we know of, refused before training in one sentence that names it. One row per kind.

What is refused while photos are decoded is in test_image_folder.py, for all formats in test_images.py.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from datamodules.cifar10 import CIFAR10
from datamodules.stand_ins import write as stand_in
from datamodules.stand_ins.write import write_cifar10
from engine.errors import DataError
from tests.datamodules.small_photos import folder, moved, replaced
from tests.pictures import flat_png


class Refused(NamedTuple):
    spoil: Callable[[Path], object]  # gets the folder that `root` makes
    says: str


def cut(name: str, kind: str) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / name, kind)
        os.truncate(root / name, (root / name).stat().st_size * 2 // 3)

    return spoil


def linked(name: str, target: str) -> Callable[[Path], object]:
    return lambda root: (root / name).symlink_to(target)


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
