import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import DataError

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
OFFICIAL_MD5S = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
CLASSES_FILE = "batches.meta.txt"
OFFICIAL_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE  # the label, then the red, the green and the blue plane, row by row


class Cifar10Images(NamedTuple):
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of each split; `test` is None if its file is missing."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor] | None
    classes: tuple[str, ...]  # by label
    source: str  # official | local | stand-in


def read_cifar10(folder: Path, *, md5s: Mapping[str, str] | None = OFFICIAL_MD5S) -> Cifar10Images:
    """Reads CIFAR-10's binary version from `folder`: data_batch_1.bin to data_batch_5.bin, and test_batch.bin.

    The training files must be the official ones. The test file may be missing or a different one; then `source` is
    local, and results are not comparable with published ones.

    Args:
        folder: the folder with the files.
        md5s: the files' expected MD5 hashes, by name; None for a stand-in in this format, of any size.

    Raises DataError, naming the file, if a training file is missing, truncated or altered, if a file cannot be read or
    has the wrong format, and for a label above 9.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
    """
    batches, source = [], "stand-in" if md5s is None else "official"
    for name in TRAIN_FILES:
        content = _read(folder / name)
        if md5s is not None and (md5 := _md5(content)) != md5s[name]:
            raise DataError(
                f"{folder / name} is truncated or altered: its {len(content)} bytes have the MD5 {md5}, not the "
                f"official {md5s[name]}; remove {folder} to download it again."
            )
        batches.append(_records(content, folder / name))
    train, test = _tensors(batches), None
    if os.path.lexists(folder / TEST_FILE):  # a dangling link is an error, not a missing file
        content = _read(folder / TEST_FILE)
        test = _tensors([_records(content, folder / TEST_FILE)])
        if md5s is not None and _md5(content) != md5s[TEST_FILE]:
            source = "local"
    elif md5s is not None:
        source = "local"
    return Cifar10Images(train, test, _classes(folder / CLASSES_FILE), source)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe might never end
            raise DataError(f"{path} is a folder, pipe or device, but a CIFAR-10 file was expected: remove it.")
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}): put the file there, fix its permissions, or remove "
            f"{path.parent} to download it again."
        ) from error


def _md5(content: NDArray[np.uint8]) -> str:
    return hashlib.md5(content.data, usedforsecurity=False).hexdigest()


def _records(content: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """The file's records (N, 3073)."""
    if len(content) == 0 or len(content) % RECORD_BYTES:
        raise DataError(
            f"{path} is truncated: its {len(content)} bytes are not a multiple of a record's {RECORD_BYTES}; "
            "remove it, or put the right file there."
        )
    records = content.reshape(-1, RECORD_BYTES)
    if (label := int(records[:, 0].max())) >= len(OFFICIAL_CLASSES):
        raise DataError(
            f"{path} is not in CIFAR-10's binary format: it has a label {label}, above 9; "
            "remove it, or put the right file there."
        )
    return records


def _tensors(files: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(np.concatenate([records[:, 1:] for records in files])).view(-1, 3, SIDE, SIDE)
    return images, torch.from_numpy(np.concatenate([records[:, 0] for records in files])).long()


def _classes(path: Path) -> tuple[str, ...]:
    """The class names in the file, or the official ones if it is missing."""
    if not os.path.lexists(path):
        return OFFICIAL_CLASSES
    names = tuple(_read(path).tobytes().decode(errors="replace").split())
    if len(names) != len(OFFICIAL_CLASSES):
        raise DataError(
            f"{path} names {len(names)} classes, not {len(OFFICIAL_CLASSES)}: remove it to use the official names."
        )
    return names
