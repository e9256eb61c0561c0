"""Checks the directory of a run or sweep, which may come from a stranger, before anything in it is read."""

import os
import stat
from pathlib import Path

from engine.errors import UserError
from engine.files import ALLOW_LINKS
from engine.paths import require_literal

MAX_ENTRIES = 1_000_000
KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


def require_plain(directory: Path, given: str) -> None:
    """UserError if `directory` contains anything but regular files and folders, or its path is not a literal one.

    Messages call it `given`, such as `resume=DIR`. A link could redirect writes out of the directory, and reading a
    pipe might never end. Hard links are rejected, too, except for checkpoints, which are replaced and never written
    into. Only wandb's own folder may contain links, which wandb creates and nothing here follows.
    """
    require_literal(directory.absolute(), given)
    try:
        _require_plain(directory, given)
    except OSError as error:
        raise UserError(f"{given}: something in it cannot be read ({error.strerror}).") from error


def _require_plain(directory: Path, given: str) -> None:
    seen = 0
    for folder, folders, files in os.walk(directory):
        if Path(folder).parent == directory and Path(folder).name == "wandb":
            folders.clear()
            continue
        for name in (*folders, *files):
            path = Path(folder, name)
            if kind := _special(path):
                hint = f", or set {ALLOW_LINKS}=1 if you made it" if kind.endswith("link") else ""
                if not (hint and os.environ.get(ALLOW_LINKS)):
                    raise UserError(f"{given}: {path} is a {kind}, which no run directory contains: remove it{hint}.")
        seen += len(folders) + len(files)
        if seen > MAX_ENTRIES:
            raise UserError(f"{given}: the directory holds more than {MAX_ENTRIES:,} files, which no run does.")


def _special(path: Path) -> str | None:
    """What a path is, if neither a folder nor a regular file of its own."""
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        return None
    if stat.S_ISREG(status.st_mode):
        return None if status.st_nlink < 2 or ".ckpt" in path.suffixes else "hard link"
    return "link" if stat.S_ISLNK(status.st_mode) else KINDS.get(stat.S_IFMT(status.st_mode), "special file")
