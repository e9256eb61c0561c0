"""A run has one writer: a lock on its directory, which is let go when its process ends, however that happens."""

import errno
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TypeVar

from omegaconf import DictConfig

from engine.errors import UserError
from engine.files import open_plain
from engine.run.config_file import is_first_process

LOCK = ".lock"
Result = TypeVar("Result")


def one_writer(train: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """For a function that trains the run of a config: of several processes one trains in `run_dir`.

    UserError in the others. The further processes of one training belong to it.
    """

    @wraps(train)
    def locked(cfg: DictConfig) -> Result:
        if not is_first_process():
            return train(cfg)
        with _holding(Path(cfg.run_dir)):
            return train(cfg)

    return locked


@contextmanager
def _holding(directory: Path) -> Iterator[None]:
    """POSIX locks a process alone, not those it forks: a data loader's worker that is left behind holds nothing."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        file = open_plain(directory / LOCK, "ab")
    except OSError as error:
        raise UserError(f"{directory / LOCK} cannot be locked ({error.strerror}): mend or remove it.") from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.close()
            raise UserError(
                f"{directory} is in use by another process, which trains there: stop that first."
            ) from error
        # A file system without locks: nothing can be said.
    try:
        yield
    finally:
        file.close()


def is_in_use(directory: Path) -> bool:
    """Whether another process trains there; False where that cannot be known."""
    try:
        file = open_plain(directory / LOCK, "r+b")
    except (OSError, UserError):
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EAGAIN)
    finally:
        file.close()
    return False
