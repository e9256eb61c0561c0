"""What the parts of a run need of each other, as far as their classes show it (engine/protocols.py)."""

import inspect
from collections.abc import Sequence
from typing import Any

from pytorch_lightning.callbacks import ProgressBar

from engine.preflight.findings import Findings, select
from engine.preflight.signatures import signature_of
from engine.preflight.targets import find_target
from engine.protocols import PhotoData
from engine.run.config_file import has_features

GIVEN_BY_CODE = {
    "lightning_module": ("network", "loss", "optimizer", "scheduler"),
    "features": ("photos", "backbone", "num_features", "key"),
    "trainer": ("logger", "callbacks", "plugins"),
}
"""Arguments that train.py gives, with what it made before."""


def check_members(findings: Findings) -> None:
    """What the run asks of its data (engine/protocols.py), as far as the classes show it."""
    module, data, features = (_class_at(findings, path) for path in ("lightning_module", "datamodule", "features"))
    cached = has_features(findings.values)
    for path in ("features", "trainer"):  # a lightning_module is given what it names
        target = _class_at(findings, path)
        if target and not signature_of(target).takes_others and (lacking := _lacking(target, GIVEN_BY_CODE[path])):
            findings.add(f"{path}._target_", f"must take {lacking}, which the run itself gives it")
    members = [name for base in PhotoData.__mro__ for name, member in vars(base).items() if _is_code(name, member)]
    if cached and data and (lacking := _lacking(data, members)):
        findings.add(
            "cache",
            f"features are of photos, and {data.__name__} has no {lacking} (PhotoData in engine/protocols.py): give "
            "cache=false or another datamodule",
        )
    elif module and (given := features if cached else data) and (lacking := _lacking(given, _needs(module))):
        wanted = "cache=true" if features and not cached and not _lacking(features, _needs(module)) else "another one"
        key = "cache" if wanted == "cache=true" else "features" if cached else "datamodule"
        findings.add(key, f"{module.__name__} needs data with {lacking}, and {given.__name__} has none: give {wanted}")


def check_progress_bars(findings: Findings) -> None:
    """Of those that are not ours, which give way to another, the Trainer takes one."""
    paths = [f"callback.{name}" for name in findings.values.get("callback") or {}]
    kinds = {path: _class_at(findings, path) or type for path in paths}
    bars = [path for path in paths if issubclass(kinds[path], ProgressBar) and not _is_ours(kinds[path])]
    if len(bars) > 1:
        findings.add(bars[-1], f"{bars[0]} is a progress bar too: give ~{bars[0]}")


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("engine.")


def _class_at(findings: Findings, path: str) -> Any:
    try:
        target = find_target(select(findings.values, f"{path}._target_"))
    except LookupError:  # its own check says so
        return None
    return target if inspect.isclass(target) else None


def _is_code(name: str, member: Any) -> bool:
    """Whether a protocol's member is one that a class has before it is set up."""
    return not name.startswith("_") and (callable(member) or isinstance(member, property))


def _needs(module: Any) -> Sequence[str]:
    return getattr(module, "needs_data", ())


def _lacking(target: Any, members: Sequence[str]) -> str:
    """Which of the members neither the class nor its constructor names; none where they may come from anywhere."""
    known = {*dir(target), *signature_of(target).hints}
    return "" if "__getattr__" in known else ", ".join(dict.fromkeys(name for name in members if name not in known))
