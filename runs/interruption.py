"""What a signal does to a run."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from callbacks.last_checkpoint import Interrupted
from runs.signals import handling


@contextmanager
def interruptible(cfg: DictConfig) -> Iterator[None]:
    """SIGTERM and Ctrl-C raise Interrupted here, and end the process with 128 + their number (143, 130).

    While training, callbacks/last_checkpoint.py takes them instead, and raises it when it has saved. One that comes
    while the run is being ended ends it at once.
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
