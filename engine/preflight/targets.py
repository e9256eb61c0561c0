"""Imports what a `_target_` names, or suggests a similar name."""

import importlib.util
import pkgutil
from types import ModuleType
from typing import Any

from engine.wording import nearest


def find_target(name: Any) -> Any:
    """Imports the class or function with a dotted name. LookupError with a similar name if there is none."""
    if not isinstance(name, str) or "." not in name:
        raise LookupError("must be the dotted name of a class or function, such as torch.optim.SGD")
    names = name.split(".")
    found: Any = _import(names[0])
    for depth, part in enumerate(names[1:], start=1):
        if not hasattr(found, part) and _has_submodule(found, part):
            _import(".".join(names[: depth + 1]))
        if not hasattr(found, part):
            raise LookupError(f"{'.'.join(names[:depth])} has no {part}; {nearest(part, _names_in(found))}")
        found = getattr(found, part)
    if not callable(found):
        raise LookupError("is neither a class nor a function")
    return found


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and module.startswith(missing):
            raise LookupError(f"there is no package {missing}") from error
        raise LookupError(f"{module} cannot be imported: {error}") from error


def _has_submodule(found: Any, name: str) -> bool:
    return hasattr(found, "__path__") and importlib.util.find_spec(f"{found.__name__}.{name}") is not None


def _names_in(found: Any) -> list[str]:
    submodules = [module.name for module in pkgutil.iter_modules(getattr(found, "__path__", []))]
    return [name for name in [*vars(found), *submodules] if not name.startswith("_")]
