"""States a run's result in one line, with the interval that its number of examples allows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.statistics import wilson_interval
from engine.wording import figure

CONFIDENCE = 0.95


class Value(NamedTuple):
    """A metric's value, with the number of examples if it is known and the metric is a share of correct ones."""

    value: float
    examples: int | None
    bounds: tuple[float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.bounds or self.examples is None:
            return self.bounds
        right = self.value * self.examples
        if not 0 <= self.value <= 1 or abs(right - round(right)) > 0.01:  # not a share of these examples
            return None
        return wilson_interval(round(right), self.examples, CONFIDENCE)

    def __str__(self) -> str:
        if self.interval is None:
            return figure(self.value)
        low, high = self.interval
        of = f" of {self.examples:,}" if self.examples is not None else ""
        return f"{self.value:.1%}{of} (95 % interval {low:.1%} to {high:.1%})"


def answer(
    metrics: Mapping[str, Any],
    best: Mapping[str, Any],
    *,
    monitor: str | None,
    counts: Mapping[str, Any],
    classes: Sequence[str],
    several: bool,
    once: bool = False,
) -> str:
    """The run's result, the most honest number first: the test's, else the best epoch's next to the last one's.

    `best` has the metrics at the best epoch; `counts` has the number of examples per split; `once`: a single epoch was
    validated, so nothing selected it.
    """
    name = headline(metrics, monitor)
    if name is None:
        return "No metric was logged."

    def value(full: str, among: Mapping[str, Any]) -> Value | None:
        found = among.get(full)
        if not isinstance(found, float):
            return None
        split, _, metric = full.partition("/")
        low, high = among.get(f"{full}_low"), among.get(f"{full}_high")
        bounds = (low, high) if isinstance(low, float) and isinstance(high, float) else None
        share = metric == "acc" and not several and bool(classes) and bounds is None
        return Value(found, counts.get(split) if share else None, bounds)

    full = name if f"val/{name}" not in metrics else f"val/{name}"
    tested, last = value(f"test/{name}", metrics), value(full, metrics)
    epoch: Any = metrics.get("best/epoch")
    epochs = metrics.get("epochs")
    at_best = value(full, {full: metrics.get(f"best/{full}"), **best}) if epoch is not None else None
    parts = []
    if tested:
        which = f"last epoch ({epochs})" if epoch is None else f"epoch {epoch}, the best by {monitor}"
        parts.append(f"test/{name} {tested} – {which}")
    if at_best:
        also = ", also the last" if epoch == epochs else ""
        which = f"best epoch ({epoch}{also}), {_selected(monitor)}"
        parts.append(f"{full} {at_best} – {f'epoch {epoch}, the only one validated' if once else which}")
    if last and not (at_best and epoch == epochs):
        parts.append(f"{full} {last} – last epoch ({epochs}){', which was not selected' if at_best else ''}")
    if not parts:
        return f"{full} was never a number."
    known = any(found and found.interval for found in (tested, last, at_best))
    return "; ".join(parts) + "." + ("" if known else f" One run gives no interval for {name}.")


def _selected(monitor: str | None) -> str:
    examples = "training" if str(monitor).startswith("train") else "validation"
    return f"selected on these {examples} examples by {monitor}"


def cross_validated(found: Mapping[str, float]) -> str:
    """The results of evaluate.py's cross-validation, from its metrics `found`; empty without one."""

    def value(name: str) -> str:
        return str(Value(found[name], None, (found[f"{name}_low"], found[f"{name}_high"])))

    if "val/nested_acc" not in found:
        return ""
    return (
        f"Cross-validated: {value('val/nested_acc')} at the best epoch, chosen on photos other than those it is "
        f"evaluated on; {value('val/acc')} at the last epoch."
    )


def headline(metrics: Mapping[str, Any], monitor: str | None) -> str | None:
    """The metric to report, without its split: the monitored one, or the accuracy if the loss is monitored."""
    split, _, rest = (monitor or "").partition("/")
    metric = rest if split in ("train", "val", "test") else monitor
    if metric and metric != "loss" and (monitor in metrics or f"val/{metric}" in metrics):
        return metric
    for split in ("test", "val"):
        for name in ("acc", "loss"):
            if f"{split}/{name}" in metrics:
                return name
    numbers = [name for name, value in metrics.items() if isinstance(value, float) and "images_per" not in name]
    return monitor if monitor in metrics else next((name for name in numbers if name != "seconds"), None)
