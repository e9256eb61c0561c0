"""What a signal does to a run."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from engine.checkpoints.last_checkpoint import Interrupted
from engine.signals import handling


@contextmanager
def interruptible(cfg: DictConfig) -> Iterator[None]:
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
