"""Signals that ask a process to stop, and what they do to a run. Nothing here imports torch."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig  # which takes longer to import than a signal may take to come

LIGHTNINGS = "hydra.job.name=train_ddp_process_"
"""In the command line of the additional processes that Lightning starts for a training."""

FOR_THE_FIRST = 5.0
"""Seconds that an additional process leaves the first one to end, by the same signal, say, which ends this one, too."""

Handler = Callable[[int, FrameType | None], None]

unfinished: set[Path] = set()
"""Temporary files that are being written (engine/files.py), to remove if the process ends at once."""


class Interrupted(BaseException):
    """A signal asked the run to stop. Not an Exception: nothing that deals with failures shall take it for one."""

    under_way = False

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        Interrupted.under_way = True


def stopping_signals() -> list[int]:
    """SIGTERM, SIGINT and, unless nohup has it ignored, SIGHUP, which a closed terminal or a lost connection sends."""
    numbers: list[int] = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not under Windows
        numbers.append(signal.SIGHUP)
    return numbers


def end_at_once() -> None:
    """Makes the signals that stop a run end it with one line, until there is something to save; for a script's top.

    The additional processes of a training also end when the first one does.
    """
    if _is_additional():
        end_with(os.getppid())
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # when the first ends, c10d warns with a stack trace
    for number in stopping_signals():
        signal.signal(number, _end)


def _is_additional() -> bool:
    """Whether this is an additional process of a training."""
    return any(argument.startswith(LIGHTNINGS) for argument in sys.argv)


def _end(number: int, frame: FrameType | None) -> None:
    let_the_first_end()  # Ctrl-C goes to it, too, and Lightning kills it once another has failed
    end_now(number)


def let_the_first_end() -> None:
    """Waits in an additional process of a training, which ends with the first: its own failure may follow from that."""
    if _is_additional():
        time.sleep(FOR_THE_FIRST)


def end_now(number: int, advice: str = "") -> None:
    """Ends the process with one line and 128 + the signal's number, and with it those that it has started.

    They are killed last: once one of them has failed, Lightning kills this process.
    """
    for path in [*unfinished]:
        with suppress(OSError):
            path.unlink()
    if not _is_additional():
        with suppress(OSError):
            os.write(2, f"Stopped by {signal.Signals(number).name}.{advice}\n".encode())
    kill_children(os.getpid())
    os._exit(128 + number)


def kill_children(process: int) -> None:
    """SIGKILL, which a stopped process obeys too, to all that descend from this one (on Linux).

    Not to multiprocessing's tracker, which removes what they share once they are gone.
    """
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(status.read_text().rpartition(")")[2].split()[1]), []).append(int(status.parts[2]))
    found = [process]
    for parent in found:
        found += children.get(parent, [])
    for child in found[1:]:
        with suppress(OSError):
            if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)


def end_with(owner: int) -> None:
    """Kills this process within a second after `owner` has ended."""

    def watch() -> None:
        while True:
            time.sleep(1)
            try:
                os.kill(owner, 0)
            except ProcessLookupError:
                os.kill(os.getpid(), signal.SIGKILL)

    name = f"end with {owner}"
    if name not in {thread.name for thread in threading.enumerate()}:
        threading.Thread(target=watch, name=name, daemon=True).start()


@contextmanager
def second_ends_at_once(numbers: Collection[int], advice: Callable[[], str]) -> Iterator[None]:
    """The second of these signals ends the process inside, even where the main thread is stuck and handles none.

    Python's handlers wait for the main thread; what the C library sees is written to a pipe that another thread reads.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(os, "fork"):  # as on Windows
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _forget_wakeup_in_children()

    def watch() -> None:
        came = 0
        while data := os.read(reader, 64):
            came += sum(number in numbers for number in data)
            if came > 1:
                end_now(next(number for number in data[::-1] if number in numbers), advice())
        os.close(reader)

    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


@cache
def _forget_wakeup_in_children() -> None:
    """Or a forked process's signals would count as this one's: Ctrl-C goes to all of them."""

    def forget() -> None:
        with suppress(ValueError):  # forked by another thread
            signal.set_wakeup_fd(-1)

    os.register_at_fork(after_in_child=forget)


@contextmanager
def handling(handler: Handler, *others: int) -> Iterator[None]:
    """The stopping signals and `others` call the handler inside. In a thread, which gets none, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in [*stopping_signals(), *others]}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def interruptible(cfg: "DictConfig") -> Iterator[None]:
    """SIGTERM, Ctrl-C and SIGHUP raise Interrupted here, and end the process with 128 + their number (143, 130, 129).

    So does SIGUSR1 in a job of SLURM, which is queued again. During training, engine/checkpoints/last_checkpoint.py
    handles them instead: it saves, then raises Interrupted. A second signal ends the run at once.
    """
    from engine.paths import command, typed  # not at a script's start, before it handles signals

    Interrupted.under_way = False
    others = [signal.SIGUSR1] if _is_queued_again(cfg) else []

    def advice() -> str:
        return f" To continue: {command('train.py')} resume={typed(Path(cfg.run_dir))}"

    with handling(stop, *others), second_ends_at_once([*stopping_signals(), *others], advice):
        try:
            yield
        except Interrupted as interruption:
            if interruption.number == signal.SIGUSR1:
                _queue_again(Path(cfg.run_dir))
            if _is_additional():  # the first one tells, and Lightning would kill it if this one seemed to have failed
                sys.exit(0)
            with suppress(OSError):  # the terminal may be gone
                print(f"Stopped by {interruption}.{advice()}", file=sys.stderr)
            sys.exit(128 + interruption.number)


def stop(number: int, frame: FrameType | None) -> None:
    """The handler of a run's signals while it does not train."""
    if Interrupted.under_way:
        end_now(number)
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
