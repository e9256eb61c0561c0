"""Checks that a run's parts have the members they need from each other (engine/protocols.py)."""

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
"""Arguments that train.py passes in code."""


MEMBERS = {
    "trainer": ("fit", "test"),
    "datamodule": ("setup", "train_dataloader"),
    "network": ("forward",),
    "lightning_module": ("training_step", "configure_optimizers"),
    "optimizer": ("step", "zero_grad"),
    "scheduler.scheduler": ("step", "state_dict"),
    "callback": ("state_key", "on_exception"),
    "logger": ("log_metrics", "finalize"),
}
"""What tells a part of this kind from others. Not its base class: the package `lightning` has the same ones again."""


def check_kinds(findings: Findings) -> None:
    """Reports classes of another kind than their key, such as a network as a callback."""
    for key, members in MEMBERS.items():
        for path in _paths(findings, key) if key in ("callback", "logger") else [key]:
            target = _class_at(findings, path)
            if target and (missing := [name for name in members if not hasattr(target, name)]):
                kind = key.rpartition(".")[2].replace("_", " ")
                article = "an" if kind[0] in "aeiou" else "a"
                findings.add(f"{path}._target_", f"is not {article} {kind}: it has no {' or '.join(missing)}")


def check_members(findings: Findings) -> None:
    """Checks the members of datamodule, features and trainer, as far as their classes show them."""
    module, data, features = (_class_at(findings, path) for path in ("lightning_module", "datamodule", "features"))
    cached = has_features(findings.values)
    for path in ("features", "trainer"):  # a lightning_module only gets the arguments it names
        target = _class_at(findings, path)
        if target and not signature_of(target).takes_others and (lacking := _lacking(target, GIVEN_BY_CODE[path])):
            findings.add(f"{path}._target_", f"must accept {lacking}, which train.py passes to it")
    members = [name for base in PhotoData.__mro__ for name, member in vars(base).items() if _is_code(name, member)]
    if cached and data and (lacking := _lacking(data, members)):
        findings.add(
            "cache",
            f"cached features need photos, and {data.__name__} has no {lacking} (PhotoData in engine/protocols.py): "
            "give cache=false or another datamodule",
        )
    elif module and (given := features if cached else data) and (lacking := _lacking(given, _needs(module))):
        wanted = "cache=true" if features and not cached and not _lacking(features, _needs(module)) else "another one"
        key = "cache" if wanted == "cache=true" else "features" if cached else "datamodule"
        findings.add(key, f"{module.__name__} needs data with {lacking}, and {given.__name__} has none: give {wanted}")


def check_progress_bars(findings: Findings) -> None:
    """The Trainer accepts only one progress bar besides the project's own, which is replaced."""
    paths = _paths(findings, "callback")
    kinds = {path: _class_at(findings, path) or type for path in paths}
    bars = [path for path in paths if issubclass(kinds[path], ProgressBar) and not _is_ours(kinds[path])]
    if len(bars) > 1:
        findings.add(bars[-1], f"{bars[0]} is a progress bar, too: remove it with ~{bars[0]}")


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("engine.")


def _paths(findings: Findings, group: str) -> list[str]:
    """The keys of a group's members."""
    return [f"{group}.{name}" for name in findings.values.get(group) or {}]


def _class_at(findings: Findings, path: str) -> Any:
    try:
        target = find_target(select(findings.values, f"{path}._target_"))
    except LookupError:  # reported by another check
        return None
    return target if inspect.isclass(target) else None


def _is_code(name: str, member: Any) -> bool:
    """Whether a protocol's member is a method or property, which a class has before setup."""
    return not name.startswith("_") and (callable(member) or isinstance(member, property))


def _needs(module: Any) -> Sequence[str]:
    return getattr(module, "needs_data", ())


def _lacking(target: Any, members: Sequence[str]) -> str:
    """The members that neither the class nor its constructor has; empty for a class with `__getattr__`."""
    known = {*dir(target), *signature_of(target).hints}
    return "" if "__getattr__" in known else ", ".join(dict.fromkeys(name for name in members if name not in known))
