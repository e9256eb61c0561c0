"""Archives that were written by strangers: nothing leaves the folder it is extracted to, and nothing but files."""

import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from engine.errors import DataError
from engine.files import new_folder

MAX_BYTES = 2 << 30
"""What an archive's files may take on disk, together: a bomb stops there."""

MAX_ENTRIES = 100_000
"""How many files and folders an archive may hold."""

BLOCK = 1 << 20
"""Bytes copied at a time."""

DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    *(RuntimeError, NotImplementedError),  # encrypted; compressed in a way that Python does not know
    *(ValueError, OverflowError, LookupError, struct.error),  # names and numbers that make no sense
)
"""What the standard library raises on a file that is cut short, altered, or no archive."""


class Entry(NamedTuple):
    """One entry of an archive: its name there, what it is, and, of a file, what opens it."""

    name: str
    kind: str
    open: Callable[[], IO[bytes] | None]


def extract_zip(archive: Path, dest: Path, folder: str) -> Path:
    """Extracts the top folder `folder` of a zip file to `dest` / `folder`, which is there whole or not at all.

    Entries outside `folder` are left out; they must be as harmless as the others.

    Raises:
        DataError: damaged or encrypted, no such folder in it, more than MAX_BYTES or MAX_ENTRIES, an absolute path,
            one with .. in it, two entries of one name, or anything but files and folders: links and devices have no
            place in a data set.
    """
    return new_folder(dest / folder, partial(_fill, archive=archive, folder=folder, entries=_zip_entries))


def extract_tar(archive: Path, dest: Path, folder: str) -> Path:
    """extract_zip for a tar file, compressed or not."""
    return new_folder(dest / folder, partial(_fill, archive=archive, folder=folder, entries=_tar_entries))


def _zip_entries(archive: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            # The upper half of external_attr is Unix's st_mode, whose type bits are 0 where none was stored.
            unix_type = info.external_attr >> 28
            kind = "folder" if info.is_dir() else "file" if unix_type in (0, 8) else "link or device"
            yield Entry(info.filename, kind, partial(file.open, info))


def _tar_entries(archive: Path) -> Iterator[Entry]:
    with tarfile.open(archive) as file:
        for info in file:
            kind = "folder" if info.isdir() else "file" if info.isreg() else "link or device"
            yield Entry(info.name, kind, partial(file.extractfile, info))
        # tarfile stops at the archive's own end mark, before the check sum that ends a compressed file.
        while file.fileobj and file.fileobj.read(BLOCK):
            pass


def _fill(target: Path, archive: Path, folder: str, entries: Callable[[Path], Iterator[Entry]]) -> None:
    """Writes what the archive has in `folder` to `target`."""
    budget = MAX_BYTES
    count = 0
    try:
        for count, entry in enumerate(entries(archive), start=1):
            if count > MAX_ENTRIES:
                raise DataError(f"{archive} holds more than {MAX_ENTRIES:,} entries: it is not extracted.")
            top, *inner = _safe_parts(entry, archive)
            if top != folder:
                continue
            budget -= _write(entry, target.joinpath(*inner), budget, archive)
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise DataError(
            f"{archive} cannot be read as an archive ({reason}): remove it and download it again."
        ) from error
    if not any(target.iterdir()):
        raise DataError(f"{archive} holds no folder {folder} with something in it among its {count:,} entries.")


def _safe_parts(entry: Entry, archive: Path) -> list[str]:
    """The parts of an entry's path, at least one; DataError if it could lead out of the folder or is no file."""
    path = PurePosixPath(entry.name)
    # A backslash or colon separates paths on Windows alone; neither occurs in the archives that we read.
    if path.is_absolute() or ".." in path.parts or set("\\:\0") & set(entry.name):
        raise DataError(f"{archive} holds {entry.name!r}, which leads out of the folder: it is not extracted.")
    if entry.kind not in ("file", "folder"):
        raise DataError(f"{archive} holds {entry.name!r}, which is a {entry.kind}: it is not extracted.")
    return list(path.parts) or ["."]


def _write(entry: Entry, path: Path, budget: int, archive: Path) -> int:
    """Makes a folder or writes a file. Its size, which is counted, not believed; DataError above `budget` bytes."""
    try:
        if entry.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            return _copy(entry, file, budget, archive)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(
            f"{archive} holds {entry.name!r} twice, or as a file and as a folder: it is not extracted."
        ) from error


def _copy(entry: Entry, file: IO[bytes], budget: int, archive: Path) -> int:
    written = 0
    source = entry.open()
    assert source is not None  # tarfile's answer for what is neither a file nor a link
    with source:
        while block := source.read(BLOCK):
            written += len(block)
            if written > budget:
                raise DataError(f"{archive} unpacks to more than {MAX_BYTES:,} bytes: it is not extracted.")
            file.write(block)
    return written
