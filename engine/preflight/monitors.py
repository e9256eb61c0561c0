"""Which metrics a procedure logs, and whether the callbacks that watch one watch one of these."""

from collections.abc import Iterator, Mapping
from typing import Any

from engine.preflight.findings import Findings, select
from engine.wording import nearest

WATCHING = ("monitor", "metric")
"""Parameters of callbacks that are the name of a metric."""


def check_monitors(findings: Findings, module: Any) -> None:
    """Adds names of metrics that the procedure does not log, and the lack of a callback that keeps the best epoch."""
    if others_may_log(findings.values.get("callback"), module):
        return
    names = set(logged_metrics(module))
    callbacks = findings.values.get("callback")
    watched = [(f"callback.{name}.{key}") for name in callbacks for key in WATCHING] if callbacks else []
    for path in ("monitor.metric", *watched):
        metric = select(findings.values, path)
        # A name that ends in _ stands for one a class, and those are the data's.
        if isinstance(metric, str) and metric not in names and not metric.startswith(classwise(names)):
            findings.add(path, f"{type(module).__name__} logs no such metric; {nearest(metric, names)}")
    best = findings.values.get("monitor", {}).get("metric")
    if (
        best is not None
        and isinstance(callbacks, Mapping)
        and best not in [select(callbacks, f"{name}.monitor") for name in callbacks]
    ):
        findings.add("callback", f"none keeps the best epoch by {best}: add best_checkpoint to the list")


def others_may_log(callbacks: Any, module: Any) -> bool:
    """Whether a callback or procedure from elsewhere may log metrics of its own, which shows in training only."""
    targets = [select(callbacks, f"{name}._target_") for name in callbacks] if isinstance(callbacks, Mapping) else []
    modules = [*map(str, targets), *(f"{base.__module__}." for base in type(module).__mro__)]
    known = ("engine.", "callbacks.", "lightning_modules.", "pytorch_lightning.", "lightning_fabric.", "torch.")
    return not all(name.startswith((*known, "torch", "builtins.", "typing.", "abc.")) for name in modules)


def classwise(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name.endswith("_"))


def logged_metrics(module: Any) -> Iterator[str]:
    """What can be monitored; a name that ends in _ stands for one a class."""
    for split in ("train", "val"):
        yield f"{split}/loss"
        metrics = module.metrics(split)
        for name, metric in () if metrics is None else metrics.items(keep_base=False):
            # One that gives several values says which.
            several = getattr(metric, "names", None)
            yield from [name] if several is None else (f"{split}/{each}" for each in several)
