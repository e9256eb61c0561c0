"""What a config that came with a run may name: `_target_`s that only make the parts of an experiment."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any, get_type_hints

from omegaconf import OmegaConf

from engine.paths import CONF
from engine.process.startup import prepare_imports

ALLOW = "LIGHTNING_EXPERIMENTS_ALLOW"
"""Environment variable in which users list packages of their own, separated by commas."""

ALLOWED = CONF / "allow_targets.yaml"

KINDS = {
    "torch.nn.modules.module.Module",  # networks, losses, procedures, metrics, transforms
    "torch.optim.optimizer.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler",
    "pytorch_lightning.core.datamodule.LightningDataModule",
    "pytorch_lightning.callbacks.callback.Callback",
    "pytorch_lightning.loggers.logger.Logger",
    "pytorch_lightning.plugins.precision.precision.Precision",
    "pytorch_lightning.profilers.profiler.Profiler",
    "pytorch_lightning.strategies.strategy.Strategy",
    "pytorch_lightning.trainer.trainer.Trainer",
    "optuna.pruners._base.BasePruner",
    "optuna.samplers._base.BaseSampler",
}
"""Base classes of the objects that a `_target_` may create; allowed packages contain other things, too."""

GETTERS = tuple(f"hydra.utils.get_{kind}" for kind in ("class", "method", "object", "static_method"))


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every `_target_` below `node` with its full key; in the place of GETTERS, the `path` that they get."""
    children: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        inner = f"{path}[{key}]" if isinstance(node, list) else f"{path}.{key}" if path else key
        if key == "_target_" and value in GETTERS:
            yield inner.removesuffix("_target_") + "path", node.get("path")
        elif key == "_target_":
            yield inner, value
        else:
            yield from targets(value, inner)


def unlisted(target: Any) -> str | None:
    """Why `target` is not in an allowed package (conf/allow_targets.yaml), as the end of a sentence; None if it is."""
    names = target.split(".") if isinstance(target, str) else [""]
    if all(re.fullmatch(r"[A-Za-z]\w*", name) for name in names) and _lies_in(target, _allowed()):
        return None
    return f"is not allowed in a run's config (conf/allow_targets.yaml; for your own package: {ALLOW}=PACKAGE)."


def unfit(target: str, *, is_called: bool = True) -> str | None:
    """Why a name in an allowed package is not a valid target, as the end of a sentence; None if it is one.

    It must be a class or function defined at the top level of that package, not one that it imports. It must create
    one of KINDS, unless it is listed by its full name or the package is the user's own. What is not called here, but
    given to a part, may also be a function of torch.nn.functional.
    """
    try:
        found = _find(target.split("."))
    except (ImportError, AttributeError) as error:
        return f"does not exist: {error}."
    if (target in _listed() and callable(found)) or (not is_called and target in _activations()):
        return None
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return "is neither a class nor a function."
    if not _lies_in(found.__module__, _allowed()):
        return f"is from {found.__module__}, which a run's config may not name (conf/allow_targets.yaml)."
    return None if _lies_in(target, _own()) or _makes_a_kind(found) else "does not create a part of an experiment."


def _allowed() -> tuple[str, ...]:
    return (*_listed(), *_own())


def _own() -> list[str]:
    return [package for package in os.environ.get(ALLOW, "").replace(" ", "").split(",") if package]


@cache
def _listed() -> tuple[str, ...]:
    return tuple(str(entry) for entry in OmegaConf.load(ALLOWED))


@cache
def _activations() -> frozenset[str]:
    """The functions of torch.nn.functional, which only compute."""
    functional = importlib.import_module("torch.nn.functional")
    functions = importlib.import_module("torch.overrides").get_overridable_functions()[functional]
    return frozenset(f"torch.nn.functional.{function.__name__}" for function in functions)


def _lies_in(name: Any, packages: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def _find(names: list[str]) -> Any:
    """The attribute with a dotted name; AttributeError if its path includes anything but modules.

    Modules are only found under their own names: `torch.nn.modules.module.torch` is not part of torch.nn.
    """
    prepare_imports()
    found: Any = importlib.import_module(names[0])
    for depth, name in enumerate(names[1:], start=1):
        if not isinstance(found, ModuleType) or sys.modules.get(".".join(names[:depth])) is not found:
            raise AttributeError(f"{'.'.join(names[:depth])} is no module")
        if not hasattr(found, name):
            importlib.import_module(".".join(names[: depth + 1]))
        found = getattr(found, name)
    return found


def _makes_a_kind(found: Any) -> bool:
    """Whether a class, or the annotated return type of a function, is a subclass of one of KINDS."""
    if inspect.isfunction(found):
        try:
            found = get_type_hints(found).get("return")
        except NameError:
            return False
    if not inspect.isclass(found):
        return False
    if found.__module__.startswith("torchvision.transforms."):  # transforms v1 have no common base class
        return True
    return any(f"{base.__module__}.{base.__qualname__}" in KINDS for base in found.__mro__)
