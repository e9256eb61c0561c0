"""Signals that ask a process to stop, and what they do to a run. Nothing here imports torch."""

import os
import signal
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
def handling(handler: Handler) -> Iterator[None]:
    """SIGTERM and SIGINT call the handler inside. In a thread, which gets no signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def interruptible(cfg: "DictConfig") -> Iterator[None]:
    """SIGTERM and Ctrl-C raise Interrupted here, and end the process with 128 + their number (143, 130).

    During training, engine/checkpoints/last_checkpoint.py handles them instead: it saves, then raises Interrupted. A
    signal that arrives while the run is ending exits at once.
    """
    Interrupted.under_way = False
    with handling(_raise):
        try:
            yield
        except Interrupted as stop:
            directory = Path(cfg.run_dir)
            print(f"Stopped by {stop}. To go on: python train.py resume={directory}", file=sys.stderr)
            sys.exit(128 + stop.number)


def _raise(number: int, frame: FrameType | None) -> None:
    if Interrupted.under_way:
        os._exit(128 + number)
    raise Interrupted(number)
