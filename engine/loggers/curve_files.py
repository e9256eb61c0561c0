"""The files that a run's loggers write curves to, and the names under which TensorBoard shows them.

Nothing here imports torch.
"""

import os
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path

EVENTS = "events.out.tfevents.*"
PATTERNS = (EVENTS, "metrics.csv")
SPLITS = ("train", "val", "test")

PROGRESS = ("lr", "grad_norm", "images_per_second", "loss_step", "epoch")
"""Curves that describe the progress of a training, not its results."""

CURVES, DETAILS, RESULT = "curves/", "details/", "result/"
"""Prefixes of TensorBoard's tags. It sorts cards by them, and unfolds the first two groups."""


def curve_files(directory: Path) -> Iterator[Path]:
    """TensorBoard's event files and metrics.csv, wherever the loggers wrote them in the run directory.

    Unreadable folders are skipped.
    """
    for folder, _, names in os.walk(directory):
        found = (Path(folder, name) for name in names if any(fnmatch(name, pattern) for pattern in PATTERNS))
        yield from (path for path in found if path.is_file())


def tag_of(name: str, among: Collection[str], apart: bool) -> tuple[str, str]:
    """The run (a sub-directory, or empty) and tag under which TensorBoard shows a metric.

    `val/acc` is `curves/acc` of the run `val` if the splits are kept `apart`, else `curves/val/acc`. A metric that
    details another one logged with it (`among`), like `val/acc_bees`, gets the prefix of details.
    """
    split, _, metric = name.partition("/")
    if split == "best":
        return "", RESULT + name
    if split not in SPLITS or not metric or metric in PROGRESS or metric.startswith("lr_"):
        return "", name
    group = DETAILS if any(name.startswith(f"{other}_") for other in among) else CURVES
    return (split, group + metric) if apart else ("", group + name)


def name_of(run: str, tag: str) -> str:
    """The inverse of `tag_of`: the metric's name; any other tag is its own name."""
    for group in (CURVES, DETAILS, RESULT):
        if tag.startswith(group):
            rest = tag[len(group) :]
            return f"{run}/{rest}" if run in SPLITS else rest
    return tag
