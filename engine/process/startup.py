"""Speeds up start-up by deferring imports that an ordinary run never needs, and silences irrelevant messages.

torch._dynamo, needed for `torch.compile`, and scipy.signal, needed for an audio metric, take half of the CPU time of
`import pytorch_lightning` (2.9 instead of 5.8 s, median of 3, on 2 cores); torch's counter of operations imports triton
where that is installed. Each is replaced by a placeholder with a few
attributes, and imported on the first access to any other. From then on, those attributes delegate to the real module,
so compiled code gives the same results as without this file (tests/engine/test_startup.py compares them).

matplotlib (0.3 s) is put off to the end of a run, which draws with it.
"""

import gc
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from engine.process.activity import activity
from engine.renamed import import_by_any_name

OWN_PROCESS = "torch" not in sys.modules
"""Whether this is a script of this project, and no program or notebook that has objects of its own by now."""

MAX_FILES = 65536
"""The most files that a process needs to have open at once."""


class DeferredModule(ModuleType):
    """A placeholder in `sys.modules` for a module that is imported when needed; `known` are its own attributes."""

    def __init__(self, name: str, **known: Any) -> None:
        super().__init__(name)
        self.__dict__.update(known)

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "__path__" and (path := self._search_path()):
            return path  # lets a submodule be imported on its own
        if attribute.startswith("__"):  # probed by the import system
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
    """Defers imports that a run never needs, and disables Python's garbage collector.

    Imports create a million objects and hardly any garbage; the collector took a fifth of the time. A terminal shows
    meanwhile what is awaited.
    """
    is_new = OWN_PROCESS and "engine.build" not in sys.modules
    prepare_imports()
    with activity("loading torch"), collecting_nothing():
        with _matplotlib_put_off():
            importlib.import_module("torchmetrics")
        yield  # outside: a user's module may be imported here, and wants the real matplotlib
        if is_new:  # or the collector would look through all of it two or three times, for half a second
            gc.freeze()


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Without Python's garbage collector, which would look through all that is there again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _matplotlib_put_off() -> Iterator[None]:
    """Shows torchmetrics, which imports it for plots that no run draws, a stand-in."""
    names = () if "matplotlib" in sys.modules else ("matplotlib", "matplotlib.axes", "matplotlib.pyplot")
    sys.modules.update({name: _PutOff(name) for name in names})
    for name in names[1:]:
        setattr(sys.modules["matplotlib"], name.rpartition(".")[2], sys.modules[name])
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class _PutOff(ModuleType):
    """Has what torchmetrics reads at import; any other attribute is the real module's."""

    colors = SimpleNamespace(Colormap=object)  # for annotations
    Figure = object

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.Axes, self.style = _Axes, SimpleNamespace(context=_plot_style)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") or sys.modules.get(self.__name__) is self:
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self.__name__), attribute)


class _IsAxes(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, importlib.import_module("matplotlib.axes").Axes)


class _Axes(metaclass=_IsAxes):
    """`matplotlib.axes.Axes`, which an array of them is not."""


@contextmanager
def _plot_style(style: Any) -> Iterator[None]:
    with importlib.import_module("matplotlib.pyplot").style.context(style):
        yield


def begin_script() -> None:
    """What each of the project's scripts does first."""
    require_current_folder()
    keep_out_current_folder()
    raise_file_limit()


def require_current_folder() -> None:
    """Ends the process with one sentence if its current folder was deleted; torch could not be imported, for one."""
    try:
        Path.cwd()
    except OSError as error:
        sys.exit(f"The current folder cannot be used ({error.strerror}): cd to one that exists.")


def keep_out_current_folder() -> None:
    """Child processes find modules in the project, never in their current directory (Python 3.11 or later).

    Otherwise Python started with `-c` or `-m` (multiprocessing, joblib, submitit, Ray) would import a `random.py` in
    the current directory instead of the standard library's.
    """
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    root = str(Path(__file__).parents[2])
    os.environ |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(dict.fromkeys([root, *given]))}


def raise_file_limit() -> None:
    """Allows as many open files as the system does: workers share each batch by files, and 1024 are soon used up."""
    with suppress(ImportError, OSError, ValueError):  # there is no such limit under Windows
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
        if soft != resource.RLIM_INFINITY and soft < limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def prepare_imports() -> None:
    """Must be called before importing torchvision, torchmetrics and Lightning; imported modules are left unchanged."""
    import_by_any_name()
    for stand_in in (
        DeferredModule("torch._dynamo", OptimizedModule=_OptimizedModule, disable=_disable, graph_break=_graph_break),
        DeferredModule("torch._dynamo.utils", is_compile_supported=_is_compile_supported),
        DeferredModule("torch.utils.flop_counter", FlopCounterMode=_count_flops),
        DeferredModule("scipy.signal", hamming=None),
    ):
        sys.modules.setdefault(stand_in.__name__, stand_in)


def silence_idle_messages() -> None:
    """Silences library messages that are of no use to the user; must be called before the Trainer is built.

    The screen gets messages alone, without the time and the module that train.log has with them.
    """
    logging.raiseExceptions = False  # where a pipe was closed, as by `| head`
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter("%(message)s"))
    # The panel at the start has this information.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    # That SIGTERM came, of which there is a line already.
    logging.getLogger("pytorch_lightning.trainer.connectors.signal_connector").setLevel(logging.WARNING)
    # Where it keeps its list of fonts, and that it makes one.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # Lightning 2.6 uses an API that is deprecated in torch 2.14 but works.
    warnings.filterwarnings("ignore", r".isinstance\(treespec, LeafSpec\)", FutureWarning)
    # The warning counts batches, but a chunk has many steps, and logging is by step.
    warnings.filterwarnings("ignore", r"The number of training batches .* is smaller than the logging interval")
    # MLflow uses an API that is deprecated in SQLAlchemy 2.1 but works.
    warnings.filterwarnings("ignore", r"The ``noload`` loader strategy is deprecated")
    # A resumed run's checkpoint directory is not empty.
    warnings.filterwarnings("ignore", r"Checkpoint directory .* exists and is not empty")
    # evaluate.py's Trainer has no logger.
    warnings.filterwarnings("ignore", r"You called `self\.log\(.*\)` but have no logger configured")
    # Average precision over a few batches, as with debug=fast, which may lack some labels.
    warnings.filterwarnings("ignore", r"No positive samples found in target, recall is undefined")


def import_for_real() -> None:
    """Removes all placeholders, so the real modules are imported the next time they are needed."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, DeferredModule):
            del sys.modules[name]


class _CompiledAsSoonAsThereIsOne(type):
    def __instancecheck__(cls, instance: object) -> bool:
        real = _dynamo()
        return real is not None and isinstance(instance, real.OptimizedModule)


class _OptimizedModule(metaclass=_CompiledAsSoonAsThereIsOne):
    """`torch._dynamo.OptimizedModule`; nothing is an instance until something has been compiled."""


def _disable(function: Any = None, *arguments: Any, **settings: Any) -> Any:
    """`torch._dynamo.disable`, which has no effect until something is compiled."""
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


def _count_flops(*args: Any, **kwargs: Any) -> Any:
    """`torch.utils.flop_counter.FlopCounterMode`, which Lightning's ModelSummary makes."""
    name = "torch.utils.flop_counter"
    if isinstance(sys.modules.get(name), DeferredModule):
        del sys.modules[name]
    return importlib.import_module(name).FlopCounterMode(*args, **kwargs)


def _is_compile_supported(device_type: str) -> bool:
    return bool(importlib.import_module("torch._dynamo.utils").is_compile_supported(device_type))
