"""Files and folders that are whole or not there, whatever kills the process that writes them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from engine.errors import DataError


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
        raise DataError(
            f"{target} cannot be written ({error}): choose a folder with room that you may write."
        ) from error
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


def replace_text(path: Path, text: str) -> None:
    """Writes the file so that a kill leaves the old content or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
