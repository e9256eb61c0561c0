"""Locks a run's directory for one process at a time; the lock is released when the process ends for any reason."""

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
    """Decorates a function that trains a config's run, so that only one process at a time trains in `run_dir`.

    UserError in others, except for the further processes of the same training.
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
    """A POSIX lock belongs to one process, not to its forks: a leftover data loader worker does not hold it."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        file = open_plain(directory / LOCK, "ab")
    except OSError as error:
        raise UserError(f"{directory / LOCK} cannot be locked ({error.strerror}): fix or remove it.") from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.close()
            raise UserError(
                f"{directory} is in use by another process that trains there: stop that process first."
            ) from error
        # The file system has no locks.
    try:
        yield
    finally:
        file.close()


def is_in_use(directory: Path) -> bool:
    """Whether another process trains there; False if that is unknown."""
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
