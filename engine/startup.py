"""What is imported: under any of its names, and not what libraries import at start-up and an ordinary run never needs.

torch._dynamo, which serves `torch.compile`, and scipy.signal, which serves an audio metric, take half of the CPU time
of `import pytorch_lightning` (2.9 instead of 5.8 s, median of 3, on 2 cores). Each is imported as soon as anything is
asked of it that its stand-in does not know; what the stand-in gave away until then follows the real module from there
on, so that compiled code computes what it computes without this file (tests/engine/test_startup.py compares them).
"""

import gc
import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, wraps
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from engine.renamed import import_by_any_name


class DeferredModule(ModuleType):
    """Takes the place of a module in `sys.modules` until it is needed; it knows a few of its names itself."""

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
    """Inside, imports that a run never needs are deferred, and Python's garbage collector is off.

    Imports create a million objects and hardly any garbage: searching them took a fifth of the time.
    """
    prepare_imports()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def prepare_imports() -> None:
    """Call it before torchvision, torchmetrics and Lightning are imported; modules already imported are left alone."""
    import_by_any_name()
    for stand_in in (
        DeferredModule("torch._dynamo", OptimizedModule=_OptimizedModule, disable=_disable, graph_break=_graph_break),
        DeferredModule("torch._dynamo.utils", is_compile_supported=_is_compile_supported),
        DeferredModule("scipy.signal", hamming=None),
    ):
        sys.modules.setdefault(stand_in.__name__, stand_in)


def silence_idle_messages() -> None:
    """Before the Trainer is made: what libraries say that tells a user nothing, each with the reason."""
    # What it says there stands in the panel at the start.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    # Lightning 2.6 asks torch 2.14 in a way that still works.
    warnings.filterwarnings("ignore", r".isinstance\(treespec, LeafSpec\)", FutureWarning)
    # It counts batches, and a chunk is many steps; the procedure logs by steps.
    warnings.filterwarnings("ignore", r"The number of training batches .* is smaller than the logging interval")
    # So does MLflow ask SQLAlchemy 2.1.
    warnings.filterwarnings("ignore", r"The ``noload`` loader strategy is deprecated")
    # A resumed run's is not meant to be.
    warnings.filterwarnings("ignore", r"Checkpoint directory .* exists and is not empty")
    # evaluate.py's has none.
    warnings.filterwarnings("ignore", r"You called `self\.log\(.*\)` but have no logger configured")
    # Average precision over a few batches alone, as with debug=fast: they need not hold every label.
    warnings.filterwarnings("ignore", r"No positive samples found in target, recall is undefined")


def import_for_real() -> None:
    """Removes all stand-ins, so that the real modules are imported the next time they are needed."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, DeferredModule):
            del sys.modules[name]


class _CompiledAsSoonAsThereIsOne(type):
    def __instancecheck__(cls, instance: object) -> bool:
        real = _dynamo()
        return real is not None and isinstance(instance, real.OptimizedModule)


class _OptimizedModule(metaclass=_CompiledAsSoonAsThereIsOne):
    """`torch._dynamo.OptimizedModule`: nothing is an instance until something has been compiled."""


def _disable(function: Any = None, *arguments: Any, **settings: Any) -> Any:
    """`torch._dynamo.disable`, which acts from the moment that something is compiled."""
    if function is None:
        return partial(_disable, **settings)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        real = _dynamo()
        return (real.disable(function, *arguments, **settings) if real else function)(*args, **kwargs)

    return call


def _graph_break(*arguments: Any, **settings: Any) -> None:
    """`torch._dynamo.graph_break`, which optimizers call at every step."""
    if real := _dynamo():
        real.graph_break(*arguments, **settings)


def _dynamo() -> Any:
    """torch._dynamo if it has been imported for real."""
    module = sys.modules.get("torch._dynamo")
    return None if isinstance(module, DeferredModule) else module


def _is_compile_supported(device_type: str) -> bool:
    return bool(importlib.import_module("torch._dynamo.utils").is_compile_supported(device_type))
