"""An on-disk cache of features, keyed by everything they depend on."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from engine.errors import UserError
from engine.files import new_folder, open_plain, read_plain, replace_text

logger = logging.getLogger(__name__)

KEY_FILE = "key.json"
MAX_KEY = 1 << 26  # bytes


def cached_arrays(
    folder: Path,
    key: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    compute: Callable[[dict[str, Tensor]], None],
) -> dict[str, Tensor]:
    """float32 arrays of the given shapes, read from `folder/<hash of key>/<name>.npy` or computed and written there.

    `compute(arrays)` fills the arrays, which are memory-mapped, so memory use stays bounded. If several processes ask
    at once, one computes and the others wait. Damaged or truncated arrays are deleted and recomputed.
    """
    target = entry(folder, key)

    def fill(aside: Path) -> None:
        arrays = {name: _new_array(aside / f"{name}.npy", shape) for name, shape in shapes.items()}
        compute({name: torch.from_numpy(array) for name, array in arrays.items()})
        for array in arrays.values():
            array.flush()
        digests = {name: _digest(aside / f"{name}.npy") for name in shapes}
        replace_text(aside / KEY_FILE, json.dumps({"key": key, "sha256": digests}, indent=1))

    if target.is_dir() and not _is_sound(target, shapes):
        with FileLock(folder / f".{target.name}.repair.lock"):
            if target.is_dir() and not _is_sound(target, shapes):  # no other process has repaired them
                logger.warning("The features in %s are damaged and will be recomputed.", target)
                target.unlink() if target.is_symlink() else shutil.rmtree(target)
                new_folder(target, fill)
    new_folder(target, fill)
    # Copy on write, so callers cannot change the file.
    return {name: torch.from_numpy(_stored_array(target / f"{name}.npy", shapes[name])) for name in shapes}


def entry(folder: Path, key: Mapping[str, Any]) -> Path:
    """The folder of the arrays with this key."""
    return folder / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]


def _new_array(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """Zeros in a new file. All disk space is allocated up front: on a full disk, writing to a mapped page would kill
    the process with a bus error instead of raising an exception."""
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open_plain(file, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    return array


def _stored_array(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """A float32 array, mapped copy on write. ValueError if the file holds anything else."""
    with open_plain(file) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0) or np.lib.format.read_array_header_1_0(stream) != (shape, False, np.dtype(np.float32)):
            raise ValueError(f"{file} holds another array.")
        return np.memmap(stream, np.float32, "c", stream.tell(), shape)


def _is_sound(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    try:
        if folder.is_symlink() or any(entry.is_symlink() or not entry.is_file() for entry in folder.iterdir()):
            return False
        digests = json.loads(read_plain(folder / KEY_FILE, MAX_KEY))["sha256"]
        for name, shape in shapes.items():
            _stored_array(folder / f"{name}.npy", shape)
        return all(_digest(folder / f"{name}.npy") == digests[name] for name in shapes)
    except (OSError, ValueError, LookupError, TypeError, RecursionError, UserError, EOFError):
        return False


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with open_plain(file) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def names_digest(files: Iterable[Path], root: Path) -> str:
    """A hash of the files' names (relative to `root`), in the given order."""
    names = [os.fsencode(file.relative_to(root).as_posix()) for file in files]
    return hashlib.sha256(b"\0".join(names)).hexdigest()
