"""The ledger of a sweep: every multirun keeps sweep.json and sweep.csv up to date, and writes a report at the end."""

import atexit
import os
import sys
import traceback
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, read_write

from engine.config.arguments import quoted
from engine.config.sweep_job import DONE, repeat, settings_of, swept_settings
from engine.errors import UserError, printable
from engine.paths import command, typed
from engine.process.startup import keep_out_current_folder
from engine.process.stop import end_now, handling
from engine.run.config_file import given
from engine.sweep.check import ALL_COMBINATIONS, planned_jobs, refuse_mistakes
from engine.sweep.groups import grouped
from engine.sweep.page import write_page
from engine.sweep.report import job_line, print_sweep
from engine.sweep.table import FILE, Row, Sweep, changing, note
from engine.sweep.worker import stopping

_open = ExitStack()
"""What this process holds for its sweep: the directory's lock, the signal handlers, and the report at exit."""


class Ledger(Callback):
    """Hydra's callback that keeps a sweep's table (engine/sweep/table.py).

    on_multirun_start and on_multirun_end are called in the sweep's own process, the others wherever a job is launched,
    so all state is in files. If a signal ends the sweep, the work of on_multirun_end is done at exit.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Lists the jobs. Exits if the directory already has other jobs, or if another process is running them."""
        keep_out_current_folder()
        try:
            self._begin(config)
        except UserError as error:  # Hydra swallows a callback's exceptions, but not SystemExit
            sys.exit(str(error))

    def _begin(self, config: DictConfig) -> None:
        if config.sweep.resume is None:
            refuse_mistakes(config)
        directory = Path(config.hydra.sweep.dir)
        directory.mkdir(parents=True, exist_ok=True)
        _open.enter_context(_lock(directory))
        if config.sweep.resume is None:
            if (directory / FILE).exists():
                again = f"{command('train.py')} -m sweep.resume={typed(directory)}"
                sys.exit(f"There is already a sweep in this directory; to continue it: {again}")
            Sweep(directory, sys.argv[1:], str(Path.cwd())).write()
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        overrides = parser.parse_overrides(given(config.hydra))
        shared = [override.key_or_group for override in overrides if not override.is_sweep_override()]
        with read_write(config.hydra):
            config.hydra.overrides.hydra += _for_each_job(directory, shared)
        with changing(directory) as sweep:
            for row in _planned(config, shared):
                if sweep.jobs.setdefault(row.number, row).overrides != row.overrides:
                    job = f"Job {row.number} of {typed(directory)}"
                    sys.exit(f"{job} had other overrides: the swept values cannot be changed on resume.")
        print(f"{len(sweep.jobs) or 'The'} jobs in {typed(directory)}, each with its train.log:", flush=True)
        _open.enter_context(stopping())
        atexit.register(finish, directory)
        _open.callback(atexit.unregister, finish)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        hydra = config.hydra
        if hydra.mode != RunMode.MULTIRUN:
            return
        row = _row_of(config)
        if row.status not in DONE:
            row.status, row.error = "running", None
        note(Path(hydra.sweep.dir), row)
        if sys.stdout.isatty():
            print(f"{row.directory} …", end="\r", flush=True)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        row = _row_of(config)
        statuses = note(Path(config.hydra.sweep.dir), row)
        ended = sum(status not in ("missing", "running") for status in statuses)
        clear = "\x1b[K" if sys.stdout.isatty() else ""
        print(f"{job_line(row, ended, len(statuses))}{clear}", flush=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Exits with 1 unless all jobs are done: Hydra swallows every callback exception except SystemExit."""
        try:
            with _open:
                sweep = finish(Path(config.hydra.sweep.dir))
        except UserError as error:
            sys.exit(str(error))
        except Exception:
            traceback.print_exc()
            sys.exit(1)
        if sweep.unfinished:
            sys.exit(1)


def _row_of(config: DictConfig) -> Row:
    """A job's row as read from its directory; a job that has not ended is shown as running."""
    hydra = config.hydra
    directory = Path(hydra.sweep.dir)
    row = Row(hydra.job.num, swept_settings(), repeat(given(hydra)), "running")
    row.metric, row.mode = config.monitor.metric, config.monitor.mode
    row.directory = os.path.relpath(hydra.runtime.output_dir, directory)
    row.take(directory)
    return row


def finish(directory: Path) -> Sweep:
    """Closes the table, writes the page and prints the report."""
    with changing(directory) as sweep:
        for row in sweep.jobs.values():
            row.take(directory)
            if row.status == "running":
                row.status, row.error = "interrupted", "its process was lost"
        groups = grouped(sweep.jobs.values())
        sweep.groups = [group.summary(groups[0]) for group in groups]
    print_sweep(sweep)
    try:
        with handling(lambda number, frame: end_now(number)):  # often at the process's exit, where none may be raised
            write_page(sweep)
    except OSError:
        raise
    except Exception as error:  # the jobs' results are already on disk
        reason = printable(str(error).partition("\n")[0])
        print(f"sweep.html could not be written ({type(error).__name__}: {reason}).", file=sys.stderr)
    return sweep


def _lock(directory: Path) -> AbstractContextManager[Any]:
    """A lock that the sweep's process holds until it releases it or ends, for whatever reason."""
    try:
        return FileLock(directory / ".running.lock").acquire(timeout=0)
    except Timeout:
        sys.exit(f"The sweep in {typed(directory)} is running, in another process.")


def _for_each_job(directory: Path, shared: list[str]) -> list[str]:
    """Overrides that pass the sweep's directory and its shared keys to each job, wherever it is composed."""
    keys = ",".join(map(quoted, shared))
    return [f"hydra.sweep.dir={quoted(str(directory))}", f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"]


def _planned(config: DictConfig, shared: list[str]) -> list[Row]:
    """The jobs that a sweeper over all combinations will run; empty for other sweepers, which choose them later."""
    if config.hydra.sweeper._target_ not in ALL_COMBINATIONS:
        return []
    return [Row(number, settings_of(job, shared), repeat(job)) for number, job in enumerate(planned_jobs(config))]
