"""Files and folders that are whole or not there, whatever kills the process that writes them; and the one way in which
files that may be a stranger's are read."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from engine.errors import DataError, UserError

ALLOW_LINKS = "LIGHTNING_EXPERIMENTS_ALLOW_LINKS"
"""Set this environment variable to read directories with links of your own in them."""

PARTIAL = ".partial"
"""How the names of files end that are being written; what a kill leaves of them is removed on resume."""


def read_plain(path: Path, limit: int) -> bytes:
    """The content of a regular file that may be a stranger's: no link is followed, and reading never waits for a pipe.

    Raises:
        FileNotFoundError: there is nothing.
        UserError: there is something else than a file, or it is larger than `limit` bytes.
    """
    try:
        follow = 0 if os.environ.get(ALLOW_LINKS) else os.O_NOFOLLOW
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | follow)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise UserError(f"{path} is no regular file: remove it.") from error
        raise
    facts = os.fstat(number)
    if not stat.S_ISREG(facts.st_mode):
        os.close(number)
        raise UserError(f"{path} is no regular file: remove it.")
    with open(number, "rb") as file:  # noqa: PTH123 (a descriptor)
        if facts.st_size > limit:
            raise UserError(
                f"{path} is {facts.st_size:,} bytes large, which is more than the {limit:,} that it may be."
            )
        return file.read(facts.st_size)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path`, under a name that nobody can foresee, which takes its place at the end.

    It is flushed to the disk first. On any failure it is removed, and what was at `path` stays.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename = str(path)  # write() and fsync() do not say which file had no room
        raise
    finally:
        aside.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Writes the file so that a kill leaves the old content or the new one."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", errors="surrogateescape"))


def new_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Makes the folder `target` by `fill`, which gets an empty folder beside it that is renamed at the end.

    A folder that is already there is left as it is. Of several processes one fills, the others wait for it. If `fill`
    raises, nothing is left but the lock's empty file; what a killed process left is cleared by the next one.

    Raises:
        DataError: the folder cannot be written (read-only, disk full).
    """
    if target.is_dir():  # also where no lock can be made: a folder may be shared and read-only
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
