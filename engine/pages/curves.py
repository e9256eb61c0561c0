"""Reads a run's curves from the files that its loggers wrote into its directory."""

import csv
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from engine.files import read_plain
from engine.loggers.curve_files import PROGRESS, curve_files, name_of
from engine.wording import INTERVAL, class_metrics

MAX_BYTES, MAX_POINTS, MAX_CURVES = 1 << 28, 3_000_000, 5_000
"""Limits for all files of a run together; anything beyond them is ignored."""

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
FIRST_BATCH, MAX_PICTURE = "first_batch", 400_000
"""The first batch's tag (callbacks/image_grids.py) and its maximum size in bytes."""

MAX_STEP = 1 << 53

Curve = dict[int, float]
"""Values by optimizer step."""


class Picture(NamedTuple):
    """A JPEG, with its size in pixels."""

    jpeg: bytes
    width: int
    height: int


class Logged(NamedTuple):
    """What a run's loggers wrote: scalars by name, each in the order of its steps, and the first batch's picture."""

    curves: dict[str, Curve]
    first_batch: Picture | None


def read_logged(directory: Path, only: str | None = None) -> Logged:
    """Reads the logged curves; empty if no logger wrote a file. With `only`, reads just that curve, which is faster."""
    curves: dict[str, Curve] = {}
    first_batch = None
    for run, step, tag, value in islice(_points(directory, (only or "").rpartition("/")[2].encode()), MAX_POINTS):
        name = name_of(run, tag)
        if isinstance(value, Picture):
            first_batch = value
        elif only in (None, name) and abs(step) < MAX_STEP and (name in curves or len(curves) < MAX_CURVES):
            curves.setdefault(name, {})[step] = value
    return Logged({name: dict(sorted(curve.items())) for name, curve in curves.items()}, first_batch)


def _points(directory: Path, mark: bytes) -> Iterator[tuple[str, int, str, float | Picture]]:
    """Everything the loggers wrote, as (folder of the file, step, tag, value)."""
    room = MAX_BYTES
    for file in sorted(curve_files(directory), key=lambda file: (file.suffix == ".csv", file)):
        room -= file.stat().st_size
        if room < 0:
            return
        run = file.parent.relative_to(directory).as_posix()
        for row in _rows(file) if file.suffix == ".csv" else _events(file, mark):
            yield run, *row


def _rows(file: Path) -> Iterator[tuple[int, str, float]]:
    """The points of metrics.csv (engine/loggers/csv_logger.py); none if another program wrote the file."""
    lines = read_plain(file, MAX_BYTES).decode("utf-8", errors="replace").splitlines()
    rows = csv.reader(line for line in lines[1:] if len(line) < csv.field_size_limit() and "\0" not in line)
    for row in rows if lines[:1] == ["step,name,value"] else ():
        try:
            step, name, value = row
            yield int(step), name, float(value)
        except ValueError:  # the last line of a run that was killed
            continue


def _events(file: Path, mark: bytes) -> Iterator[tuple[int, str, float | Picture]]:
    """The points of a TensorBoard event file's records that contain `mark`, up to where the file is cut off."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event  # only here: not needed without TensorBoard

    content, position = read_plain(file, MAX_BYTES), 0
    while position + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        record = content[position + 12 : position + 12 + length]
        position += 16 + length
        if not length or len(record) < length:
            return
        if mark not in record:
            continue
        try:
            event = Event.FromString(record)
        except DecodeError:
            return
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                yield event.step, value.tag, value.simple_value
            elif value.tag == FIRST_BATCH and len(value.image.encoded_image_string) < MAX_PICTURE:
                image = value.image
                yield event.step, value.tag, Picture(image.encoded_image_string, image.width, image.height)


class Chart:
    """The curves of one metric, by split; a metric without a split has one curve, named like itself."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.curves: dict[str, Curve] = {}


def charts(curves: Mapping[str, Curve], classes: Sequence[str]) -> list[Chart]:
    """The charts worth drawing, the loss first, without per-class metrics."""
    found: dict[str, Chart] = {}
    per_class = {
        name for split in SPLITS for name in class_metrics([n for n in curves if n.startswith(f"{split}/")], classes)
    }
    for name, curve in curves.items():
        split, metric = split_of(name)
        if name in per_class or name.startswith("best/") or _is_spread(name, curves):
            continue
        if metric in PROGRESS or metric.startswith("lr_"):
            continue
        if any(map(math.isfinite, curve.values())):
            found.setdefault(metric, Chart(metric)).curves[split or metric] = curve
    for chart in found.values():
        chart.curves = {split: chart.curves[split] for split in sorted(chart.curves, key=_order)}
    return sorted(found.values(), key=lambda chart: (chart.title != "loss", len(chart.curves) == 1))


def _is_spread(name: str, curves: Mapping[str, Curve]) -> bool:
    """Whether this is the spread of another curve, like `val/acc_low` of `val/acc`."""
    start, _, end = name.rpartition("_")
    return end in INTERVAL and start in curves


def _order(split: str) -> int:
    return [*dict.fromkeys(SPLITS.values()), split].index(split)


def split_of(name: str) -> tuple[str, str]:
    """`("val", "acc")` for `val/acc` or `val_acc`; the split is empty if the name has none."""
    for mark in ("/", "_"):
        start, found, rest = name.partition(mark)
        if found and rest and start in SPLITS:
            return SPLITS[start], rest
    return "", name


def at_step_of(curves: Mapping[str, Curve], name: str, value: float) -> dict[str, float]:
    """All scalars at the step at which `name` first had this value; empty if it never had."""
    for step, seen in curves.get(name, {}).items():
        if math.isclose(seen, value, rel_tol=1e-6, abs_tol=1e-12):
            return {other: curve[step] for other, curve in curves.items() if step in curve}
    return {}


def steps_of_epochs(curves: Mapping[str, Curve], epochs: int | None) -> list[int] | None:
    """The optimizer step after each epoch, if some training metric has exactly one point per epoch."""
    for name, curve in curves.items():
        if split_of(name)[0] == "train" and len(curve) == epochs and min(curve) > 0:
            return list(curve)
    return None
