"""Where a run that was stopped goes on from."""

import logging
import os
from pathlib import Path

from engine.checkpoints.checkpoint_io import load_checkpoint, previous

logger = logging.getLogger(__name__)


def continue_from(directory: Path) -> Path | None:
    """The checkpoint from which the run in `directory` goes on; None where it had saved none, and so starts anew.

    What the run left behind that checkpoint is removed: cut-off writes, and points of its curves. UserError where
    neither it nor the one before it is whole.
    """
    checkpoints = directory / "checkpoints"
    for cut_off in checkpoints.glob(".*.ckpt.*"):
        cut_off.unlink()
    last = checkpoints / "last.ckpt"
    if not last.exists() and not previous(last).exists():
        logger.warning("%s has no checkpoint yet: the run starts anew.", directory)
        cut_curves(directory, {})
        return None
    cut_curves(directory, load_checkpoint(last)["curves"])
    return last


def cut_curves(directory: Path, sizes: dict[str, int]) -> None:
    """Cuts TensorBoard's event files and metrics.csv to `sizes` (bytes), and removes those that have none."""
    for file in [*directory.glob("events.out.tfevents.*"), *directory.glob("metrics.csv")]:
        size = sizes.get(file.name, 0)
        if not size:
            file.unlink()
        elif file.stat().st_size > size:
            os.truncate(file, size)
