"""Runs a sweep's jobs in a separate process, so none of them can end the sweep. Nothing here imports torch.

Whatever launches the jobs (Hydra's launcher, joblib, submitit, Ray), each launching process keeps one worker for all of
its jobs, so imports and caches are paid for once. An exception, sys.exit or a kill costs only the current job.
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
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, open_dict, read_write

from engine.config.resolvers import register_resolvers
from engine.config.sweep_job import DONE, finite, standing
from engine.errors import UserError
from engine.files import open_plain
from engine.process.startup import keep_out_current_folder, quick_imports
from engine.process.stop import handling, kill_children
from engine.run.config_file import given
from engine.run.outcome import outcome, write_outcome

logger = logging.getLogger(__name__)

POLL, GRACE = 1.0, 60.0  # seconds: between checks of the worker; for a stopped job to save its checkpoint


class Stopped(SystemExit):
    """A sweep's process, or one that launches its jobs, was asked to stop by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def stopping() -> AbstractContextManager[None]:
    """Makes the signals that stop a run raise Stopped. Has no effect outside the main thread, which receives them."""
    return handling(_stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def run_apart(cfg: DictConfig, task: str) -> float | None:
    """Runs the job of this process's config in the worker; `task` is the dotted name of a function that takes a config.

    Does not raise if the job fails: its metrics.json has the status, whatever happened. If the sweep was started
    before, completed jobs are not run again, interrupted ones resume from their checkpoint, and failed ones start over.

    Returns:
        The best value of the job's metric; None if it has none.

    Raises:
        Stopped: a signal asked this process to stop.
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
    """The job's directory; if it was renamed for stand-in data, the renamed one, and Hydra's new one is removed."""
    found = standing(directory)
    if found != directory:
        shutil.rmtree(directory)
    return found


def _clear(directory: Path) -> None:
    """Deletes the files of a failed run except its log and Hydra's records."""
    for path in directory.iterdir():
        if path.is_dir() and path.name != ".hydra":
            shutil.rmtree(path)
        elif path.is_file() and path.name != "train.log":
            path.unlink()


def _run(cfg: DictConfig, task: str, directory: Path) -> None:
    """Runs one job in the worker and makes sure that metrics.json exists."""
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
    """Writes metrics.json if it is missing, and replaces `failed` by `interrupted` if the job was stopped."""
    found = outcome(directory)
    if not found or (status == "interrupted" and found["status"] == "failed"):
        write_outcome(directory, found | {"status": status, "error": error})


class Check(NamedTuple):
    """A request to check configs; `elsewhere`: jobs may run on other machines, whose devices are not known here."""

    configs: list[DictConfig]
    elsewhere: bool


class Worker:
    """A handle of this process's worker."""

    _current: "Worker | None" = None

    @classmethod
    def current(cls) -> "Worker":
        """The worker of this process; starts one if there is none or it has ended."""
        if cls._current is None or not cls._current.process.is_alive():
            cls._current = cls()
        return cls._current

    def __init__(self) -> None:
        keep_out_current_folder()
        context = multiprocessing.get_context("spawn")  # a fork would break torch's threads, if torch is loaded
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,))
        self.process.start()
        theirs.close()
        # Ends the worker before multiprocessing waits for it; in joblib's processes, atexit handlers run too late.
        Finalize(None, self.connection.close, exitpriority=1)

    def run(self, cfg: DictConfig, task: str, hydra: Any) -> str | None:
        """Runs a job and returns its error in one line; None if it succeeded."""
        try:
            error, is_spent = self._answer((cfg, task, hydra))
        except (EOFError, OSError):
            return self._end()
        if is_spent:
            self._end()
        return error

    def check(self, configs: list[DictConfig], *, elsewhere: bool) -> str | None:
        """What is wrong with the jobs' configs; see engine/sweep/check.py."""
        try:
            mistakes: str | None = self._answer(Check(configs, elsewhere))
        except (EOFError, OSError) as error:
            raise UserError(f"The process that checks the sweep's jobs was lost ({self._end()}): try again.") from error
        return mistakes

    def _answer(self, request: Any) -> Any:
        """Sends a request and returns the answer. Raises EOFError or OSError if the worker has ended."""
        self.connection.send((Path.cwd(), request))  # a notebook may have changed it since the worker started
        # Not just recv: a dead worker's own child processes may keep the connection open for a while.
        while not self.connection.poll(POLL):
            if not self.process.is_alive():
                raise EOFError
        return self.connection.recv()

    def retire(self) -> None:
        """Ends the worker, which gets no more jobs."""
        self.connection.close()
        self.process.join()
        type(self)._current = None

    def _end(self) -> str:
        """Waits for the worker and describes how it ended."""
        self.process.join()
        code = self.process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"the process ended with exit code {code}"

    def stop(self, number: int) -> None:
        """Forwards the signal and waits; after a second signal or GRACE seconds, kills the worker."""
        with suppress(ProcessLookupError, Stopped):
            os.kill(self.process.pid or 0, number)
            wait([self.connection, self.process.sentinel], GRACE)
        if self.process.pid:  # its data loader workers, too, which may be suspended
            kill_children(self.process.pid)
        self.process.kill()
        self.process.join()


# In the worker --------------------------------------------------------------------------------------------------------


def work(connection: Connection) -> None:
    """Runs jobs until the connection is closed."""
    os.setpgrp()  # Ctrl-C in the terminal goes to the sweep, which forwards it
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
            folder, request = connection.recv()
        except EOFError:
            break
        os.chdir(folder)
        if isinstance(request, Check):
            from engine.sweep.check import mistakes_in

            connection.send(mistakes_in(*request))
            continue
        cfg, task, hydra = request
        error, is_spent = _perform(cfg, task, hydra)
        connection.send((error, is_spent))
        if is_spent:
            break
    gc.freeze()  # see engine/config/start.py


def _die_with_parent() -> None:
    """Kills this process when the sweep ends, so no job continues to write into its directory."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _perform(cfg: DictConfig, task: str, hydra: Any) -> tuple[str | None, bool]:
    """Runs one job; its error, if any, and whether this process may no longer be fit for another run."""
    config = hydra.hydra
    HydraConfig.instance().cfg = hydra
    configure_log(config.job_logging, config.verbose)
    _write_to(Path(config.runtime.output_dir, "train.log"))
    # Lightning starts the other processes of a training with these arguments.
    own = [*given(config), *config.overrides.hydra, "hydra.mode=RUN"]
    sys.argv[1:] = [f"resume={cfg.resume}"] if cfg.resume else own
    try:
        from engine.run.failure import for_the_user

        module, _, function = task.rpartition(".")
        with for_the_user(cfg):
            getattr(import_module(module), function)(cfg)
    except BaseException as error:
        logger.exception("The job failed.")
        return f"{type(error).__name__}: {error}", not isinstance(error, Exception) or _uses_gpu()
    return None, "LOCAL_RANK" in os.environ  # a process of a distributed training cannot start another one


def _uses_gpu() -> bool:
    """Whether the GPU was used, where errors can persist."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _write_to(log: Path) -> None:
    """Redirects stdout and stderr to the log, which already receives log records."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]
    sys.stdout.flush()
    sys.stderr.flush()
    with open_plain(log, "ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
