"""An on-disk cache of features, keyed by everything they depend on."""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Literal

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
        new_arrays(aside, shapes)
        compute({name: torch.from_numpy(stored_array(aside / f"{name}.npy", shapes[name], "r+")) for name in shapes})
        write_key(aside, key, {name: shard_digests(aside / f"{name}.npy", shapes[name]) for name in shapes})

    discard_if_damaged(target, shapes)
    new_folder(target, fill)
    return stored_arrays(target, shapes)


def entry(folder: Path, key: Mapping[str, Any]) -> Path:
    """The folder for arrays with this key."""
    return folder / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]


def shards(count: int) -> list[range]:
    """Splits the rows of an array of length `count` into about 100 shards of a multiple of 32 rows, at most 1,024."""
    size = min(1024, max(32, count // 100 // 32 * 32))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def new_arrays(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Creates files of zeros. All disk space is allocated up front: on a full disk, writing to a mapped page would kill
    the process with a bus error instead of raising an exception."""
    for name, shape in shapes.items():
        file = folder / f"{name}.npy"
        np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape).flush()
        if hasattr(os, "posix_fallocate"):
            with open_plain(file, "r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def write_key(folder: Path, key: Mapping[str, Any], digests: Mapping[str, list[str]]) -> None:
    """Writes the key file, which marks a folder of arrays as complete."""
    replace_text(folder / KEY_FILE, json.dumps({"key": key, "sha256": digests}, indent=1))


def stored_arrays(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The arrays in a folder, mapped copy-on-write, so callers cannot change the files."""
    return {name: torch.from_numpy(stored_array(folder / f"{name}.npy", shape, "c")) for name, shape in shapes.items()}


def stored_array(file: Path, shape: tuple[int, ...], mode: Literal["c", "r+"]) -> np.memmap:
    """A memory-mapped float32 array. Raises ValueError if the file holds anything else."""
    with open_plain(file, "r+b" if mode == "r+" else "rb") as stream:
        return np.memmap(stream, np.float32, mode, data_offset(stream, shape), shape)


def data_offset(stream: BinaryIO, shape: tuple[int, ...]) -> int:
    """The offset of a float32 array's values. Raises ValueError if the file holds anything else."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0) or np.lib.format.read_array_header_1_0(stream) != (shape, False, np.dtype(np.float32)):
        raise ValueError(f"{stream.name} holds another array.")
    return stream.tell()


def shard_digests(file: Path, shape: tuple[int, ...]) -> list[str]:
    """SHA-256 of each shard. Raises ValueError if the file holds another array or is incomplete."""
    with open_plain(file) as stream, ThreadPoolExecutor() as pool:
        number, offset, size = stream.fileno(), data_offset(stream, shape), 4 * math.prod(shape[1:])
        if os.fstat(number).st_size != offset + size * shape[0]:
            raise ValueError(f"{file} has another size.")

        def digest(rows: range) -> str:
            return hashlib.sha256(os.pread(number, size * len(rows), offset + size * rows.start)).hexdigest()

        return list(pool.map(digest, shards(shape[0])))


def discard_if_damaged(target: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Deletes a folder whose arrays differ from what was written."""
    if target.is_dir() and not _is_sound(target, shapes):
        with FileLock(target.with_name(f".{target.name}.repair.lock")):
            if target.is_dir() and not _is_sound(target, shapes):  # another process may have repaired them
                logger.warning("The features in %s are damaged and will be recomputed.", target)
                target.unlink() if target.is_symlink() else shutil.rmtree(target)


def _is_sound(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    try:
        if folder.is_symlink() or any(entry.is_symlink() or not entry.is_file() for entry in folder.iterdir()):
            return False
        digests = json.loads(read_plain(folder / KEY_FILE, MAX_KEY))["sha256"]
        return all(shard_digests(folder / f"{name}.npy", shape) == digests[name] for name, shape in shapes.items())
    except (OSError, ValueError, LookupError, TypeError, RecursionError, UserError, EOFError):
        return False


def names_digest(files: Iterable[Path], root: Path) -> str:
    """A hash of the files' names (relative to `root`), in the given order."""
    names = [os.fsencode(file.relative_to(root).as_posix()) for file in files]
    return hashlib.sha256(b"\0".join(names)).hexdigest()
