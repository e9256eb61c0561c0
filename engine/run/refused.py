"""A run that is refused before it trains leaves nothing behind, except in a sweep, whose table has its reason."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.loggers.curve_files import EVENTS
from engine.run.config_file import in_sweep, is_first_process
from engine.run.find import LOGS
from engine.run.lock import LOCK
from engine.run.outcome import write_outcome

OURS = ("config.yaml", "metrics.json", "train.log", LOCK)
"""Files that a run has written before it trains."""

HYDRAS = ("config.yaml", "hydra.yaml", "overrides.yaml")
"""Files that Hydra has written in `.hydra`."""


def leave_refused(directory: Path, outcome: dict[str, Any]) -> None:
    """Removes the directory of a run that has not trained, and the folders above it if they are empty and in logs/.

    In a sweep, and where anything else lies in the directory, writes `outcome` as its metrics.json instead.
    """
    if not is_first_process() or not directory.is_dir():
        return
    own = f".{socket.gethostname()}.{os.getpid()}."  # in the name of TensorBoard's file, which precedes the first step
    begun = [path for path in directory.glob(EVENTS) if own in path.name]
    if in_sweep() or any(path.name not in (*OURS, ".hydra") and path not in begun for path in directory.iterdir()):
        write_outcome(directory, outcome)
        return
    for path in (*begun, *(directory / name for name in OURS), *(directory / ".hydra" / name for name in HYDRAS)):
        path.unlink(missing_ok=True)
    logs = LOGS.absolute()
    with suppress(OSError):  # not empty, or a mount point
        if (directory / ".hydra").is_dir():
            (directory / ".hydra").rmdir()
        directory.rmdir()
        for folder in directory.absolute().parents:
            if not folder.is_relative_to(logs):
                break
            folder.rmdir()
