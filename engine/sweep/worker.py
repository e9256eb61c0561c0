"""A sweep's jobs in a process of their own, so that none of them can end the sweep. Nothing here imports torch.

Whatever launches the jobs (Hydra's own launcher, joblib, submitit, Ray), its process keeps one worker, which trains one
job after the other: imports and caches are paid for once. An exception, sys.exit or a kill costs that job alone.
"""

import copy
import faulthandler
import gc
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.util import Finalize
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, open_dict, read_write

from engine.config.resolvers import register_resolvers
from engine.config.sweep_job import DONE, finite, standing
from engine.errors import UserError
from engine.files import open_plain
from engine.process.startup import keep_out_current_folder, quick_imports
from engine.process.stop import handling, kill_children
from engine.run.outcome import outcome, write_outcome

logger = logging.getLogger(__name__)

POLL, GRACE = 1.0, 60.0  # seconds: between looks at the worker; for a stopped job to save its checkpoint


class Stopped(SystemExit):
    """SIGINT or SIGTERM came to the process of a sweep, or to one that launches its jobs."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def stopping() -> AbstractContextManager[None]:
    """SIGINT and SIGTERM raise Stopped. In a thread, which gets no signals, nothing changes."""
    return handling(_stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def run_apart(cfg: DictConfig, task: str) -> float | None:
    """Runs `task`, the dotted name of a function of the config, on this process's job, in the worker.

    Returns the best value of the job's metric, None if it has none.

    Raises nothing if the job fails: its metrics.json says how it ended, whatever happened. A job that an earlier start
    of the sweep has completed is not run again, an interrupted one goes on from its checkpoint, a failed one starts
    anew. Raises Stopped where SIGINT or SIGTERM came.
    """
    directory = _settle(Path(HydraConfig.get().runtime.output_dir))
    before = outcome(directory)
    if before.get("status") not in DONE:
        if before.get("status") == "failed":
            _clear(directory)
        if (directory / "config.yaml").is_file():
            cfg.resume = str(directory)
        (directory / "metrics.json").unlink(missing_ok=True)
        _run(cfg, task, directory)
    return finite(outcome(standing(directory)).get(f"best/{cfg.monitor.metric}"))


def _settle(directory: Path) -> Path:
    """The job's directory; if it had gone over to stand-in data, that one, and what Hydra just made is removed."""
    found = standing(directory)
    if found != directory:
        shutil.rmtree(directory)
    return found


def _clear(directory: Path) -> None:
    """Leaves the log, and what Hydra wrote."""
    for path in directory.iterdir():
        if path.is_dir() and path.name != ".hydra":
            shutil.rmtree(path)
        elif path.is_file() and path.name != "train.log":
            path.unlink()


def _run(cfg: DictConfig, task: str, directory: Path) -> None:
    """One job in the worker, until metrics.json is there."""
    hydra: Any = copy.deepcopy(HydraConfig.instance().cfg)
    with read_write(hydra.hydra), open_dict(hydra.hydra):
        hydra.hydra.runtime.output_dir = str(directory.absolute())
        hydra.hydra.run.dir = str(directory)
    with stopping():
        worker = Worker.current()
        try:
            error = worker.run(cfg, task, hydra)
        except Stopped as stop:
            worker.stop(stop.number)
            _note_end(standing(directory), "interrupted", f"stopped by {signal.Signals(stop.number).name}")
            raise
    if error:
        _note_end(standing(directory), "failed", error)


def _note_end(directory: Path, status: str, error: str) -> None:
    """Sees to it that metrics.json is there, and that what was interrupted does not count as failed."""
    found = outcome(directory)
    if not found or (status == "interrupted" and found["status"] == "failed"):
        write_outcome(directory, found | {"status": status, "error": error})


class Worker:
    """This process's view of its worker."""

    _current: "Worker | None" = None

    @classmethod
    def current(cls) -> "Worker":
        """The worker of this process; a new one if there is none, or if the last one is gone."""
        if cls._current is None or not cls._current.process.is_alive():
            cls._current = cls()
        return cls._current

    def __init__(self) -> None:
        keep_out_current_folder()
        context = multiprocessing.get_context("spawn")  # a fork would share torch's threads, if torch is there already
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,))
        self.process.start()
        theirs.close()
        # Which ends it, before multiprocessing waits for that; in joblib's processes atexit's handlers come too late.
        Finalize(None, self.connection.close, exitpriority=1)

    def run(self, cfg: DictConfig, task: str, hydra: Any) -> str | None:
        """The job's error in one line; None if it has none."""
        try:
            error, is_spent = self._answer((cfg, task, hydra))
        except (EOFError, OSError):
            return self._end()
        if is_spent:
            self._end()
        return error

    def check(self, configs: list[DictConfig]) -> str | None:
        """What is wrong with the configs of jobs; see engine/sweep/check.py."""
        try:
            mistakes: str | None = self._answer(configs)
        except (EOFError, OSError) as error:
            raise UserError(f"The process that checks the sweep's jobs was lost ({self._end()}): try again.") from error
        return mistakes

    def _answer(self, request: Any) -> Any:
        """EOFError or OSError if the worker is gone."""
        self.connection.send(request)
        # Not recv alone: a dead worker's own child processes may keep the connection open for a while.
        while not self.connection.poll(POLL):
            if not self.process.is_alive():
                raise EOFError
        return self.connection.recv()

    def retire(self) -> None:
        """There will be no job for it."""
        self.connection.close()
        self.process.join()
        type(self)._current = None

    def _end(self) -> str:
        """How the worker ended."""
        self.process.join()
        code = self.process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"the process ended with exit code {code}"

    def stop(self, number: int) -> None:
        """Passes the signal on and waits; a second signal, or GRACE seconds, end the waiting with SIGKILL."""
        with suppress(ProcessLookupError, Stopped):
            os.kill(self.process.pid or 0, number)
            wait([self.connection, self.process.sentinel], GRACE)
        if self.process.pid:  # its readers of data, too, which may be stopped
            kill_children(self.process.pid)
        self.process.kill()
        self.process.join()


# In the worker --------------------------------------------------------------------------------------------------------


def work(connection: Connection) -> None:
    """Runs the jobs that come, until no more can come."""
    os.setpgrp()  # Ctrl-C in the terminal is for the sweep, which passes it on
    faulthandler.enable()
    stdout: Any = sys.stdout
    stdout.reconfigure(line_buffering=True)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    setup_globals()  # Hydra's own resolvers
    register_resolvers()
    with quick_imports():
        import_module("pytorch_lightning")  # while the first job is composed
    while True:
        try:
            request = connection.recv()
        except EOFError:
            break
        if isinstance(request, list):
            from engine.sweep.check import mistakes_in

            connection.send(mistakes_in(request))
            continue
        cfg, task, hydra = request
        error, is_spent = _perform(cfg, task, hydra)
        connection.send((error, is_spent))
        if is_spent:
            break
    gc.freeze()  # see engine/config/start.py


def _die_with_parent() -> None:
    """A sweep that was killed leaves no job behind that would write into its directory."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _perform(cfg: DictConfig, task: str, hydra: Any) -> tuple[str | None, bool]:
    """The error of one run, if it has one, and whether it may have left this process unfit for another run."""
    config = hydra.hydra
    HydraConfig.instance().cfg = hydra
    configure_log(config.job_logging, config.verbose)
    _write_to(Path(config.runtime.output_dir, "train.log"))
    # What Lightning starts the other processes of a training with.
    own = [*config.overrides.task, *config.overrides.hydra, "hydra.mode=RUN"]
    sys.argv[1:] = [f"resume={cfg.resume}"] if cfg.resume else own
    try:
        from engine.run.failure import for_the_user

        module, _, function = task.rpartition(".")
        with for_the_user(cfg):
            getattr(import_module(module), function)(cfg)
    except BaseException as error:
        logger.exception("The job failed.")
        return f"{type(error).__name__}: {error}", not isinstance(error, Exception) or _uses_gpu()
    return None, "LOCAL_RANK" in os.environ  # a process of one distributed training cannot start another's


def _uses_gpu() -> bool:
    """On a GPU, errors can stay."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _write_to(log: Path) -> None:
    """What goes to the terminal goes to the log, which has what is logged already."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]
    sys.stdout.flush()
    sys.stderr.flush()
    with open_plain(log, "ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
