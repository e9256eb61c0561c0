"""Signals that ask a process to stop, and what they do to a run. Nothing here imports torch."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig  # which takes longer to import than a signal may take to come

Handler = Callable[[int, FrameType | None], None]


class Interrupted(BaseException):
    """A signal asked the run to stop. Not an Exception: nothing that deals with failures shall take it for one."""

    under_way = False

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        Interrupted.under_way = True


def end_at_once() -> None:
    """SIGTERM and SIGINT end the process with one line, until there is something to save: for the top of a script."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"Stopped by {signal.Signals(number).name}.\n".encode())
    os._exit(128 + number)


@contextmanager
def handling(handler: Handler, *others: int) -> Iterator[None]:
    """SIGTERM, SIGINT and `others` call the handler inside. In a thread, which gets no signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT, *others)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def interruptible(cfg: "DictConfig") -> Iterator[None]:
    """SIGTERM and Ctrl-C raise Interrupted here, and end the process with 128 + their number (143, 130).

    So does SIGUSR1 in a job of SLURM, which is queued again. During training, engine/checkpoints/last_checkpoint.py
    handles them instead: it saves, then raises Interrupted. A signal that comes while the run is ending exits at once.
    """
    Interrupted.under_way = False
    with handling(stop, *([signal.SIGUSR1] if _is_queued_again(cfg) else [])):
        try:
            yield
        except Interrupted as interruption:
            directory = Path(cfg.run_dir)
            if interruption.number == signal.SIGUSR1:
                _queue_again(directory)
            print(f"Stopped by {interruption}. To go on: python train.py resume={directory}", file=sys.stderr)
            sys.exit(128 + interruption.number)


def stop(number: int, frame: FrameType | None) -> None:
    """The handler of a run's signals while it does not train."""
    if Interrupted.under_way:
        os._exit(128 + number)
    raise Interrupted(number)


# SLURM ---------------------------------------------------------------------------------------------------------------


def queued_again() -> Path | None:
    """The directory of the run that this job was training before SLURM queued it again; None if there is none."""
    note = _note()
    started_before = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
    return Path(note.read_text(encoding="utf-8")) if started_before and note.is_file() else None


def _note() -> Path:
    """Where a job leaves the directory of its run for itself."""
    return Path("logs", f".slurm_{_job()}")


def _job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', 0)}" if array else os.environ.get("SLURM_JOB_ID", "")


def _is_queued_again(cfg: "DictConfig") -> bool:
    """As Lightning has it: in a batch job, unless SLURMEnvironment(auto_requeue=False) is one of the plugins."""
    in_batch = _job() and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")
    plugins = (cfg.get("trainer") or {}).get("plugins") or []
    nodes = plugins if not hasattr(plugins, "keys") else [plugins]
    return bool(in_batch) and not any(node.get("auto_requeue") is False for node in nodes if hasattr(node, "get"))


def _queue_again(directory: Path) -> None:
    if os.environ.get("SLURM_PROCID", "0") != "0":
        return
    _note().parent.mkdir(parents=True, exist_ok=True)
    _note().write_text(str(directory.absolute()), encoding="utf-8")
    done = subprocess.run(["scontrol", "requeue", _job()], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"scontrol could not requeue job {_job()}: {done.stderr.strip()}", file=sys.stderr)
