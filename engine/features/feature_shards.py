"""Features computed by several processes at once, on one machine or on several that share the cache."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from torch import Tensor

from engine.errors import DataError, UserError
from engine.features.feature_cache import (
    data_offset,
    discard_if_damaged,
    entry,
    new_arrays,
    shard_digests,
    shards,
    stored_array,
    stored_arrays,
    write_key,
)
from engine.files import new_folder, open_plain

Shapes = Mapping[str, tuple[int, ...]]
ComputeShards = Callable[[str, Iterator[range]], Iterator[Tensor]]

PROGRESS = "progress"
"""The progress file of an unfinished cache: 32 bytes per shard, its SHA-256 once written, zeros before.

A process that computes shard i holds a POSIX lock on byte i. The system releases it when the process ends, for whatever
reason, and forked data loader workers do not inherit it.
"""
DIGEST = 32


def arrays_in_shards(folder: Path, key: Mapping[str, Any], shapes: Shapes, compute: ComputeShards) -> dict[str, Tensor]:
    """float32 arrays of the given shapes, mapped from `folder/<hash of key>/<name>.npy`, or computed and written there.

    `compute(name, parts)` yields the rows of each part, in order. Parts are claimed as the iterator is advanced, so
    concurrent processes divide the work, and a process started after a kill computes only what is missing. Damaged
    arrays are deleted and recomputed.

    Raises:
        DataError: the cache cannot be written (read-only, disk full).
    """
    target = entry(folder, key)
    discard_if_damaged(target, shapes)
    while not target.is_dir():
        aside = target.with_name(f"{target.name}.shards")
        if aside.is_symlink():
            aside.unlink()
        new_folder(aside, lambda place: _begin(place, shapes))
        if (progress := _opened(aside, shapes)) is None:
            if not target.is_dir():  # another process may have just completed it
                shutil.rmtree(aside, ignore_errors=True)
            continue
        with progress:
            if target.is_dir():  # likewise: this progress file is a new one
                shutil.rmtree(aside, ignore_errors=True)
                break
            _Filling(aside, target, shapes, progress).run(key, compute)
    return stored_arrays(target, shapes)


def _begin(place: Path, shapes: Shapes) -> None:
    new_arrays(place, shapes)
    (place / PROGRESS).write_bytes(bytes(_progress_bytes(shapes)))


def _progress_bytes(shapes: Shapes) -> int:
    return DIGEST * sum(len(shards(shape[0])) for shape in shapes.values())


def _opened(aside: Path, shapes: Shapes) -> BinaryIO | None:
    """The progress file of an unfinished cache; None if it or an array is missing or of another size."""
    try:
        for name, shape in shapes.items():
            stored_array(aside / f"{name}.npy", shape, "c")
        progress = open_plain(aside / PROGRESS, "r+b")
    except (FileNotFoundError, ValueError, UserError, EOFError):
        return None
    if os.fstat(progress.fileno()).st_size == _progress_bytes(shapes):
        return progress
    progress.close()
    return None


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise DataError(f"{target} cannot be written ({error}): choose a writable folder with free space.") from error


class Shard(NamedTuple):
    number: int
    name: str
    rows: range


class _Filling:
    """One process's share of filling a cache."""

    def __init__(self, aside: Path, target: Path, shapes: Shapes, progress: BinaryIO) -> None:
        self.aside, self.target, self.shapes, self.progress = aside, target, shapes, progress
        parts = [(name, rows) for name, shape in shapes.items() for rows in shards(shape[0])]
        self.shards = [Shard(number, name, rows) for number, (name, rows) in enumerate(parts)]

    def run(self, key: Mapping[str, Any], compute: ComputeShards) -> None:
        try:
            for name in self.shapes:
                while missing := [shard for shard in self.shards if shard.name == name and not self._digest(shard)]:
                    self._compute(name, missing, compute)
            with _writing(self.target):
                self._complete(key)
        except Exception:
            if self._lock(0, len(self.shards) + 1):  # no other process is filling it, and a fix may change the key
                shutil.rmtree(self.aside, ignore_errors=True)
            raise

    def _compute(self, name: str, missing: list[Shard], compute: ComputeShards) -> None:
        """Computes the shards that no other process is computing; if there are none, waits for the first one."""
        claimed: deque[Shard] = deque()

        def claims() -> Iterator[range]:
            for shard in missing:
                if self._lock(shard.number):
                    if self._digest(shard):  # written in the meantime
                        self._unlock(shard)
                        continue
                    claimed.append(shard)
                    yield shard.rows

        parts = claims()
        if (first := next(parts, None)) is None:
            fcntl.lockf(self.progress, fcntl.LOCK_EX, 1, missing[0].number)
            self._unlock(missing[0])
            return
        for rows in compute(name, chain([first], parts)):
            shard = claimed.popleft()
            with _writing(self.target):
                self._write(shard, rows.float().contiguous().numpy().tobytes())
            self._unlock(shard)

    def _write(self, shard: Shard, content: bytes) -> None:
        shape = self.shapes[shard.name]
        with open_plain(self.aside / f"{shard.name}.npy", "r+b") as file:
            start = data_offset(file, shape)
            file.seek(start + len(content) // len(shard.rows) * shard.rows.start)
            file.write(content)  # not synced, which is slow: `_complete` rereads all shards
        os.pwrite(self.progress.fileno(), hashlib.sha256(content).digest(), DIGEST * shard.number)

    def _complete(self, key: Mapping[str, Any]) -> None:
        """Gives the cache its final name if all shards are intact; damaged ones are marked as missing."""
        end = len(self.shards)
        fcntl.lockf(self.progress, fcntl.LOCK_EX, 1, end)
        if self.target.is_dir():  # another process has completed it
            return
        try:
            digests = {name: shard_digests(self.aside / f"{name}.npy", shape) for name, shape in self.shapes.items()}
        except (ValueError, FileNotFoundError):
            shutil.rmtree(self.aside)
            return
        found = [digest for name in self.shapes for digest in digests[name]]
        damaged = [s for s, digest in zip(self.shards, found, strict=True) if self._digest(s) != bytes.fromhex(digest)]
        for shard in damaged:
            os.pwrite(self.progress.fileno(), bytes(DIGEST), DIGEST * shard.number)
        if not damaged:
            write_key(self.aside, key, digests)
            (self.aside / PROGRESS).unlink()
            self.aside.replace(self.target)

    def _digest(self, shard: Shard) -> bytes:
        """The shard's digest; empty if it is missing."""
        digest = os.pread(self.progress.fileno(), DIGEST, DIGEST * shard.number)
        return digest if any(digest) else b""

    def _lock(self, start: int, count: int = 1) -> bool:
        try:
            fcntl.lockf(self.progress, fcntl.LOCK_EX | fcntl.LOCK_NB, count, start)
        except OSError as error:  # without file locks, each process computes all shards
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True

    def _unlock(self, shard: Shard) -> None:
        fcntl.lockf(self.progress, fcntl.LOCK_UN, 1, shard.number)
