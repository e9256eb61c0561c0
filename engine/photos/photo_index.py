"""Remembers facts about photos by path, size, time and inode, so that only new and changed ones are read."""

import hashlib
import logging
import os
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock

from engine.errors import DataError, UserError
from engine.files import read_plain, replacing
from engine.photos.formats import FORMATS, READS_HEIC
from engine.process.activity import activity

logger = logging.getLogger(__name__)

ROW = np.dtype(
    [
        ("name", "<u8"),  # a hash
        ("size", "<i8"),
        ("time", "<i8"),  # of the last change, in ns
        ("inode", "<u8"),
        ("pixels", "<u4"),  # of an image whose header was found sound; 0: not looked at
        ("reader", "<u4"),  # which found it so
        ("condition", "<u4"),  # of its picture (photo_set.py), 0 where that was not decoded
        ("digest", "<u8", (4,)),  # SHA-256 of the content; zeros: unknown
    ]
)
SAME = ("name", "size", "time", "inode")

READER = zlib.crc32(f"1 {PIL.__version__} {FORMATS} {READS_HEIC}".encode())
"""Changes with what reads headers; raise the number when engine/photos/images.py refuses more than before."""

FORMAT = repr(ROW.descr).encode()
"""Part of the checksum, so rows in an earlier format do not count."""

MAX_BYTES = 1 << 32  # of an index: 50 million photos

RECENT = 2 * 10**9
"""Nanoseconds: a file this young may change again without a change of its time, so it is not remembered."""

SAVE_SECONDS = 60.0  # between two saves, so that a process that is killed has not read for nothing
AT_ONCE = 256  # files between two looks at the clock


class PhotoIndex:
    """Sizes, digests and soundness of `files`: remembered in `folder` for `root`, or else determined.

    Without a folder nothing is remembered. If `root` is given, all files are in it and names are relative to it.

    The contents of `folder` are not trusted: a damaged index, or another kind of file, counts as empty. Several
    processes may share an index; each adds what it has found.
    """

    def __init__(self, files: Sequence[Path], root: Path | None = None, folder: Path | None = None) -> None:
        self.files = files
        self.names = _names(files, root)
        self._store = None
        if root is not None and folder is not None:
            self._store = folder / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]}.index"
        self._rows = _looked_up(files, self.names)
        self._is_changed = False
        known = self._stored()
        if len(known):
            found = np.searchsorted(known["name"], self._rows["name"]).clip(max=len(known) - 1)
            same = np.logical_and.reduce([known[found][field] == self._rows[field] for field in SAME])
            self._rows[same] = known[found[same]]

    @property
    def sizes(self) -> np.ndarray:
        """In bytes, (N,); -1 for a file that is not there."""
        return self._rows["size"]

    def digests(self, positions: np.ndarray) -> list[bytes]:
        """SHA-256 of these files' contents. Raises DataError if one cannot be read."""
        unknown = positions[~self._rows["digest"][positions].any(1)]
        saved = time.monotonic()
        with activity("reading", len(unknown), "photos") as shown, ThreadPoolExecutor() as pool:
            for start in range(0, len(unknown), AT_ONCE):
                some = unknown[start : start + AT_ONCE]
                digests = pool.map(_digest, [self.files[position] for position in some])
                self._rows["digest"][some] = [np.frombuffer(digest, "<u8") for digest in digests]
                self._is_changed = True
                shown.advance(len(some))
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return [row.tobytes() for row in self._rows["digest"][positions]]

    def digest(self) -> str:
        """One hash of all files' names and contents, in the order of their names."""
        order = sorted({name: position for position, name in enumerate(self.names)}.items())
        digests = self.digests(np.array([position for _, position in order], dtype=np.int64))
        parts = (name + b"\0" + digest for (name, _), digest in zip(order, digests, strict=True))
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def is_sound(self, position: int, max_pixels: int) -> bool:
        """Whether this image's header is known to be sound, with at most `max_pixels` pixels."""
        row = self._rows[position]
        return bool(row["reader"] == READER and 0 < row["pixels"] <= max_pixels)

    def found_sound(self, position: int, pixels: int) -> None:
        self._rows["pixels"][position] = min(pixels, np.iinfo(np.uint32).max)
        self._rows["reader"][position] = READER
        self._is_changed = True

    @property
    def conditions(self) -> np.ndarray:
        """The conditions of the pictures, (N,)."""
        return self._rows["condition"]

    def found_conditions(self, conditions: np.ndarray) -> None:
        """Records the conditions that are not 0."""
        new = (conditions != 0) & (conditions != self._rows["condition"])
        self._rows["condition"][new] = conditions[new]
        self._is_changed |= bool(new.any())

    def save(self) -> None:
        """Adds new entries to the index on disk. If that cannot be written, the next start reads the photos again."""
        if self._store is None or not self._is_changed:
            return
        told = self._rows[self._rows["time"] < time.time_ns() - RECENT]
        try:
            self._store.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._store.with_suffix(".lock")):
                known = self._stored()
                rows = np.concatenate([told, known[~np.isin(known["name"], told["name"])]])
                content = np.sort(rows, order="name").tobytes()
                with replacing(self._store) as file:
                    file.write(content + _mark(content))
        except OSError as error:
            logger.info(
                "%s cannot be written (%s): the next start will read all photos again.", self._store, error.strerror
            )
        self._is_changed = False

    def _stored(self) -> np.ndarray:
        """The rows on disk, sorted by name; empty if there are none or they are damaged."""
        try:
            content = read_plain(self._store, MAX_BYTES) if self._store else b""
        except (OSError, UserError):
            content = b""
        rows, mark = content[:-32], content[-32:]
        if len(rows) % ROW.itemsize or _mark(rows) != mark:
            return np.zeros(0, ROW)
        return np.frombuffer(rows, ROW)


def _mark(rows: bytes) -> bytes:
    return hashlib.sha256(FORMAT + rows).digest()


def _names(files: Sequence[Path], root: Path | None) -> list[bytes]:
    """Relative to `root`; ValueError for one outside it."""
    if root is None:
        return [os.fsencode(file) for file in files]
    start = os.path.join(root, "")  # noqa: PTH118 (with a slash at its end)
    paths = map(str, files)
    return [
        os.fsencode(path[len(start) :] if path.startswith(start) else Path(path).relative_to(root)) for path in paths
    ]


def _looked_up(files: Sequence[Path], names: Sequence[bytes]) -> np.ndarray:
    """New rows, with only what the directory says about each file."""
    rows = np.zeros(len(files), ROW)
    found = []
    for file, name in zip(files, names, strict=True):
        number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
        try:
            status = os.stat(file)  # noqa: PTH116 (a third faster than Path.stat)
        except OSError:
            found.append((number, -1, 0, 0))
            continue
        found.append((number, status.st_size, status.st_mtime_ns, status.st_ino))
    if found:
        for field, values in zip(SAME, zip(*found, strict=True), strict=True):
            rows[field] = values
    return rows


def _digest(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError as error:
        raise unreadable(file, error) from error


def unreadable(file: Path, error: OSError) -> DataError:
    """The error for a photo that the system does not let us read."""
    return DataError(f"{file} cannot be read ({error.strerror}): repair the link or the permissions, or remove it.")
