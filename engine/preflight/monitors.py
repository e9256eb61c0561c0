"""Checks that monitored metrics are logged by the procedure."""

from collections.abc import Iterator
from typing import Any

from engine.preflight.findings import Findings, select
from engine.wording import nearest

WATCHING = ("monitor", "metric")
"""Callback parameters that name a metric."""


KNOWN = ("callbacks", "engine", "lightning_modules", "pytorch_lightning", "lightning_fabric")
"""Packages whose parts only log what `logged_metrics` lists; others may log anything."""


def check_monitors(findings: Findings, module: Any) -> None:
    """Reports metrics that nothing logs, and a missing callback for the best epoch."""
    names = set(logged_metrics(module))
    callbacks = findings.values.get("callback") or {}
    targets = [type(module).__module__, *(str(select(callbacks, f"{name}._target_")) for name in callbacks)]
    foreign = [target for target in targets if target.partition(".")[0] not in KNOWN]
    watched = [f"callback.{name}.{key}" for name in callbacks for key in WATCHING]
    for path in ("monitor.metric", *watched) if not foreign else ():
        metric = select(findings.values, path)
        # A name that ends in _ stands for one metric per class; the classes are known from the data.
        if isinstance(metric, str) and metric not in names and not metric.startswith(classwise(names)):
            findings.add(path, f"{type(module).__name__} logs no such metric; {nearest(metric, names)}")
    best = findings.values.get("monitor", {}).get("metric")
    every = select(findings.values, "trainer.check_val_every_n_epoch")
    if str(best).startswith("train/") and isinstance(every, int) and every > 1:
        findings.add(
            "monitor.metric",
            f"the best epoch is only chosen after a validation, every {every} epochs: give "
            "trainer.check_val_every_n_epoch=1",
        )
    if best is not None and best not in [select(callbacks, f"{name}.monitor") for name in callbacks]:
        findings.add("callback", f"none saves the best epoch by {best}: add best_checkpoint to the list")


def classwise(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name.endswith("_"))


def logged_metrics(module: Any) -> Iterator[str]:
    """The metrics that can be monitored; a name that ends in _ stands for one metric per class."""
    for split in ("train", "val"):
        yield f"{split}/loss"
        metrics = module.metrics(split)
        for name, metric in () if metrics is None else metrics.items(keep_base=False):
            # A metric with several values lists their names.
            several = getattr(metric, "names", None)
            yield from [name] if several is None else (f"{split}/{each}" for each in several)
