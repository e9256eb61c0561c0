"""Atomic writing of files and folders, and safe reading of files from untrusted sources."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from filelock import FileLock

from engine.errors import DataError, UserError
from engine.process.stop import unfinished

ALLOW_LINKS = "LIGHTNING_EXPERIMENTS_ALLOW_LINKS"
"""Set this environment variable to read directories that contain your own symbolic links."""

PARTIAL = ".partial"
"""Suffix of files that are being written; leftovers of a killed process are removed on resume."""


MODES = {"rb": os.O_RDONLY, "r+b": os.O_RDWR, "ab": os.O_RDWR | os.O_APPEND | os.O_CREAT}


def open_plain(path: Path, mode: Literal["rb", "r+b", "ab"] = "rb") -> BinaryIO:
    """Opens a regular file from an untrusted source, without following symbolic links or blocking on pipes.

    Raises:
        FileNotFoundError: it does not exist.
        UserError: it is not a regular file, or it would be written but has another name (a hard link).
    """
    try:
        follow = 0 if os.environ.get(ALLOW_LINKS) else os.O_NOFOLLOW
        number = os.open(path, MODES[mode] | os.O_NONBLOCK | os.O_CLOEXEC | follow, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise UserError(f"{path} is not a regular file: remove it.") from error
        raise
    status = os.fstat(number)
    is_shared = mode != "rb" and status.st_nlink > 1 and not os.environ.get(ALLOW_LINKS)
    if is_shared or not stat.S_ISREG(status.st_mode):
        os.close(number)
        what = "has another name (a hard link), under which it would change, too: replace it by a copy, or remove it"
        raise UserError(f"{path} {what if is_shared else 'is not a regular file: remove it'}.")
    return open(number, mode)  # noqa: PTH123 (a descriptor; the caller closes it)


def read_plain(path: Path, limit: int) -> bytes:
    """The content of a file, opened as by open_plain. UserError if it is larger than `limit` bytes."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise UserError(f"{path} has {size:,} bytes, more than the maximum of {limit:,}.")
        return file.read(size)


def by_descriptor(file: BinaryIO) -> str:
    """A path that leads to an open file, whatever has become of its name since: for libraries that only take paths."""
    return f"/dev/fd/{file.fileno()}"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file next to `path`, with an unpredictable name, which replaces `path` on exit.

    It is flushed to disk first. On failure it is removed, and `path` is unchanged.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    unfinished.add(aside)
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename = str(path)  # write() and fsync() do not name the file
        raise
    finally:
        aside.unlink(missing_ok=True)
        unfinished.discard(aside)


def replace_text(path: Path, text: str) -> None:
    """Writes the file atomically: if the process is killed, it has either the old or the new content."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", errors="surrogateescape"))


def new_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Creates the folder `target` atomically: `fill` gets an empty folder next to it, which is renamed at the end.

    An existing folder is left unchanged. If several processes call this, one fills the folder and the others wait. If
    `fill` raises, only the empty lock file is left; leftovers of a killed process are removed by the next call.

    Raises:
        DataError: the folder cannot be written (read-only, disk full).
    """
    if target.is_dir():  # before locking, which fails in a shared read-only folder
        return target
    aside = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.is_dir():
                _fill_aside(aside, fill)
                aside.replace(target)
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error}): choose a writable folder with free space.") from error
    return target


def _fill_aside(aside: Path, fill: Callable[[Path], None]) -> None:
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir()
    try:
        fill(aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
