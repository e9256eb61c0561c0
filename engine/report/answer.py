"""A run's result in one line, with the interval that its number of examples allows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.statistics import wilson_interval
from engine.wording import figure

CONFIDENCE = 0.95


class Value(NamedTuple):
    """A metric's value over `count` examples, if these are known and the value is the share of those that are right."""

    value: float
    count: int | None
    bounds: tuple[float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.bounds or self.count is None:
            return self.bounds
        right = self.value * self.count
        if not 0 <= self.value <= 1 or abs(right - round(right)) > 0.01:  # no share of these examples
            return None
        return wilson_interval(round(right), self.count, CONFIDENCE)

    def __str__(self) -> str:
        if self.interval is None:
            return figure(self.value)
        low, high = self.interval
        of = f" of {self.count:,}" if self.count is not None else ""
        return f"{self.value:.1%}{of} (95 % interval {low:.1%} to {high:.1%})"


def answer(
    metrics: Mapping[str, Any],
    best: Mapping[str, Any],
    *,
    monitor: str | None,
    counts: Mapping[str, Any],
    classes: Sequence[str],
    several: bool,
) -> str:
    """The most honest figure first: the test's, else the best epoch's next to the last one's.

    `best` has the metrics at the best epoch; `counts` the number of examples per split.
    """
    name = headline(metrics, monitor)
    if name is None:
        return "No metric was logged."

    def value(full: str, among: Mapping[str, Any]) -> Value | None:
        found = among.get(full)
        if not isinstance(found, int | float) or not math.isfinite(found):
            return None
        split, _, metric = full.partition("/")
        low, high = among.get(f"{full}_low"), among.get(f"{full}_high")
        bounds = (low, high) if isinstance(low, float) and isinstance(high, float) else None
        share = metric == "acc" and not several and bool(classes)
        return Value(found, counts.get(split) if share else None, bounds)

    epoch = metrics.get("best/epoch")
    parts = []
    if tested := value(f"test/{name}", metrics):
        which = f"epoch {epoch + 1}, the best by {monitor}" if isinstance(epoch, int) else "last epoch"
        parts.append(f"test/{name} {tested} – {which}")
    full = name if f"val/{name}" not in metrics else f"val/{name}"
    last = value(full, metrics)
    at_best = value(full, {f"{full}": metrics.get(f"best/{full}")} | dict(best))
    if at_best and isinstance(epoch, int):
        parts.append(f"{full} {at_best} – best epoch {epoch + 1}, {_selected(monitor, full)}")
    if last and not (isinstance(epoch, int) and epoch + 1 == metrics.get("epochs") and at_best):
        parts.append(f"{full} {last} – last epoch{_number(metrics)}")
    elif last:
        parts[-1] += ", which is also the last"
    return "; ".join(parts) + "." if parts else f"{name} was never a number."


def _selected(monitor: str | None, full: str) -> str:
    split = full.partition("/")[0] if "/" in full else "these"
    return f"selected on these {'training' if split == 'train' else 'validation'} examples (by {monitor})"


def _number(metrics: Mapping[str, Any]) -> str:
    return f" {metrics['epochs']}" if isinstance(metrics.get("epochs"), int) else ""


def headline(metrics: Mapping[str, Any], monitor: str | None) -> str | None:
    """The metric to tell, without its split: the accuracy where the loss is monitored, else what is monitored."""
    metric = (monitor or "").partition("/")[2] if "/" in (monitor or "") else monitor
    if metric and metric != "loss" and (monitor in metrics or f"val/{metric}" in metrics):
        return metric
    for split in ("test", "val"):
        for name in ("acc", "loss"):
            if f"{split}/{name}" in metrics:
                return name
    numbers = [name for name, value in metrics.items() if isinstance(value, float) and "images_per" not in name]
    return monitor if monitor in metrics else next((name for name in numbers if name != "seconds"), None)
