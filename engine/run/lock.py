"""A run has one writer."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from engine.errors import UserError
from engine.run.config_file import is_first_process

LOCK = ".lock"
"""In the run directory: locked by the process that writes there, and by no other one after that has ended."""

Result = TypeVar("Result")


def one_writer(train: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """Around what trains a config: UserError if another process is writing to its `run_dir`."""

    @wraps(train)
    def locked(cfg: DictConfig) -> Result:
        if not is_first_process():
            return train(cfg)
        directory = Path(cfg.run_dir)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(directory / LOCK).acquire(timeout=0):
                return train(cfg)
        except Timeout as error:
            raise UserError(
                f"{directory} is in use by another process, which trains there: stop that first."
            ) from error

    return locked
