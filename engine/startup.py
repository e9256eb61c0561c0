"""Puts off imports that libraries make at start-up and an ordinary run never needs.

Measured on 2 cores: `import pytorch_lightning` takes 5.3 s of CPU time, and 2.5 s without torch._dynamo, which serves
`torch.compile`, and scipy.signal, which serves an audio metric. Each is imported for real as soon as anything of it is
asked for that the stand-in does not know.
"""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any


class DeferredModule(ModuleType):
    """Stands in `sys.modules` for a module that has not been imported; it knows a few of its names by itself."""

    def __init__(self, name: str, **known: Any) -> None:
        super().__init__(name)
        self.__dict__.update(known)

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "__path__" and (path := self._search_path()):
            return path  # so that a submodule can be imported alone
        if attribute.startswith("__"):  # the import system looks around
            raise AttributeError(attribute)
        return getattr(self._real(), attribute)

    def _search_path(self) -> list[str] | None:
        parent = sys.modules[self.__name__.rpartition(".")[0]]
        spec = PathFinder.find_spec(self.__name__, getattr(parent, "__path__", None))
        return spec.submodule_search_locations if spec else None

    def _real(self) -> ModuleType:
        name = self.__name__
        if sys.modules.get(name) is self:
            import_for_real()
        return importlib.import_module(name)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Inside, what a run never needs is put off, and Python's garbage collector rests.

    Imports make a million objects and hardly any garbage: looking for it took a fifth of their time.
    """
    defer_imports()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def defer_imports() -> None:
    """Before torchvision, torchmetrics and Lightning are imported; without effect on what is imported already."""
    for stand_in in (
        DeferredModule("torch._dynamo", OptimizedModule=_NotCompiled, disable=_as_it_is, graph_break=_nothing),
        DeferredModule("torch._dynamo.utils", is_compile_supported=_is_compile_supported),
        DeferredModule("scipy.signal", hamming=None),
    ):
        sys.modules.setdefault(stand_in.__name__, stand_in)


def import_for_real() -> None:
    """Clears all stand-ins away, so that the modules are imported when they are next asked for."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, DeferredModule):
            del sys.modules[name]


class _NotCompiled:
    """What `torch._dynamo.OptimizedModule` is while nothing has been compiled: a class without instances."""


def _as_it_is(function: Any, *_: Any, **__: Any) -> Any:
    """`torch._dynamo.disable` while nothing is compiled."""
    return function


def _nothing() -> None:
    """`torch._dynamo.graph_break` while nothing is compiled: optimizers call it at each step."""


def _is_compile_supported(device_type: str) -> bool:
    return bool(importlib.import_module("torch._dynamo.utils").is_compile_supported(device_type))
