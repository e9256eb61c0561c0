"""Reads a search's journal, which may come from a stranger or end in the middle of a line. Imports Optuna."""

import errno
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Lt
from optuna import Study, create_study
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from typing_extensions import TypedDict

from engine.errors import UserError
from engine.files import open_plain
from engine.run.outcome import checked
from engine.sweep.search.optuna_sweeper import JOB
from engine.wording import shown


class Job(TypedDict):
    sweep: str
    """The directory of a sweep."""
    number: Annotated[int, Ge(0), Lt(10**6)]
    """Of the job in that sweep."""


def open_study(file: Path, name: str, direction: Literal["maximize", "minimize"]) -> Study:
    """The study in the journal `file`, which is created if there is none. UserError for anything else in there."""
    if file.exists():
        drop_torn_line(file)
    try:
        storage = JournalStorage(JournalFileBackend(str(file)))
        study = create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        trials = study.get_trials(deepcopy=False)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # Optuna checks nothing of what it reads
        raise UserError(
            f"{file} is damaged, or was not written by Optuna ({type(error).__name__}: {error}): give another study "
            "with sweep.study=FILE, or start a new sweep."
        ) from error
    for trial in trials:
        if JOB in trial.user_attrs:
            checked(Job, trial.user_attrs[JOB], file)
    return study


def drop_torn_line(file: Path) -> None:
    """Removes what follows the last line's end: a process was killed, or the disk was full, while it wrote it.

    Optuna would write its next entry behind it, into the same line, and could not read the journal any more.
    """
    lock = JournalFileSymlinkLock(str(file))
    with open_plain(file, "r+b") as journal:
        if _whole_bytes(journal.fileno()) == os.fstat(journal.fileno()).st_size:
            return
        lock.acquire()  # another process may be writing just now
        try:
            os.ftruncate(journal.fileno(), _whole_bytes(journal.fileno()))
        finally:
            lock.release()


def _whole_bytes(number: int) -> int:
    """The size of an open file's complete lines."""
    end, block = os.fstat(number).st_size, 1 << 16
    while end > 0:
        start = max(0, end - block)
        place = os.pread(number, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def require_of(space: Mapping[str, BaseDistribution], study: Study, file: Path) -> None:
    """UserError if a trial's setting was chosen from other categories, or is of another type, than in this search.

    The values of trials that were begun become overrides, and a stranger's could name code or places.
    """
    for trial in study.get_trials(deepcopy=False):
        for key in trial.distributions.keys() & space.keys():
            try:
                check_distribution_compatibility(space[key], trial.distributions[key])
            except ValueError as error:
                raise UserError(
                    f"{file}: trial {trial.number} has {key}={shown(trial.params[key])}, which is not in "
                    f"this search's space ({error}): search as before, or give another study with sweep.study=FILE."
                ) from error


def is_held(lock: Path) -> bool:
    """Whether a process holds this FileLock. Nothing is created: the path may be a stranger's words."""
    try:
        file = open_plain(lock)
    except (OSError, ValueError, UserError):
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EAGAIN)
    return False
