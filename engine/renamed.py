"""Aliases of modules: names from earlier versions of the project, and Lightning's names in the package `lightning`.

Older run directories and parts from other packages refer to them.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

RENAMED = {
    "callbacks.checkpoint": "engine.checkpoints.best_checkpoint",
    "callbacks.csv_logger": "engine.loggers.csv_logger",
    "callbacks.last_checkpoint": "engine.checkpoints.last_checkpoint",
    "callbacks.progress_bar": "engine.terminal.progress_bar",
    "callbacks.pruning": "engine.sweep.search.pruning",
    "callbacks.step_counter": "engine.training.steps.step_counter",
    "callbacks.wandb_logger": "engine.loggers.wandb_logger",
    "datamodules.chunk": "engine.data.chunk",
    "datamodules.class_folders": "engine.photos.layouts.class_folders",
    "datamodules.errors": "engine.errors",
    "datamodules.features": "engine.features.features",
    "datamodules.folds": "engine.features.folds",
    "datamodules.image_transform": "functional.image_transform",
    "datamodules.images": "engine.photos.images",
    "datamodules.keyed_sampler": "engine.data.keyed_sampler",
    "datamodules.normalization": "engine.data.normalization",
    "datamodules.official_data": "engine.downloads.official_data",
    "datamodules.photo_loader": "engine.photos.photo_loader",
    "datamodules.tensor_loader": "engine.data.tensor_loader",
    "engine.photos.class_folders": "engine.photos.layouts.class_folders",
    "engine.sweep.pruning": "engine.sweep.search.pruning",
    "functional.keyed": "engine.data.keyed",
    "lightning_modules.accounted_module": "engine.training.accounted_module",
    "lightning_modules.fold_accuracy": "engine.features.fold_accuracy",
    "lightning_modules.parameter_groups": "engine.training.parameter_groups",
    "lightning_modules.procedure": "engine.training.procedure",
    "lightning_modules.schedules": "functional.schedules",
    "networks.efficientnet_lite0.EfficientNetLite0": "networks.efficientnet_lite.EfficientNetLite",
    "networks.initialization": "engine.training.initialization",
}

REMOVED = ("callbacks.charts.Charts",)
"""Callbacks that no longer exist; a config's entries for them are left out."""

PHOTO_FOLDER = {"_target_", "data_dir", "val_fraction", "eval_transform"}
"""Keys that only the config of an ImageFolder, or of a class derived from it, has."""

ADDED = {
    "classes": None,
    "balance": "none",
    "test_fraction": 0,
    "num_folds": None,
    "fold": 0,
    "index_dir": None,
    "worker_timeout": 600,
    "seed_split": "${datamodule.seed}",
}
"""Its settings that older runs lack, with the values that change nothing."""

ADDED_TO: dict[str, dict[str, Any]] = {
    "engine.features.folds.Folds": {"choose_epoch_by": None},
    "lightning_modules.cross_validator.CrossValidator": {"choose_epoch_by": None},
    "networks.efficientnet_lite0.EfficientNetLite0": {"name": "efficientnet_lite0"},
}
"""The same, by the part's name, today's or a former one."""

LIGHTNING = {"lightning.pytorch": "pytorch_lightning", "lightning.fabric": "lightning_fabric"}
"""The same code under two names; mapped to one, since a Trainer of one rejects a LightningModule of the other."""


class ByAnotherName(MetaPathFinder, Loader):
    """Imports modules whose names, or parents' names, are keys of `names` as the modules that they map to."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if todays_name(fullname, self.names) == fullname else ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(todays_name(spec.name, self.names))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state  # undoes the import system's change


BEFORE, AFTER = ByAnotherName(LIGHTNING), ByAnotherName(RENAMED | {"lightning": "pytorch_lightning"})
"""Finders before and after Python's own; the latter applies `lightning` only if that package is not installed."""


def import_by_any_name() -> None:
    """Activates the aliases."""
    if BEFORE not in sys.meta_path:
        sys.meta_path.insert(0, BEFORE)
        sys.meta_path.append(AFTER)


def todays_name(name: str, names: dict[str, str]) -> str:
    """The current name of a module, or of something in it: its prefix is replaced according to `names`."""
    former = next((former for former in names if f"{name}.".startswith(f"{former}.")), "")
    return f"{names[former]}{name[len(former) :]}" if former else name


def with_todays_names(node: Any) -> Any:
    """A copy of a config's containers with the current name in each `_target_`, and with the settings ADDED since."""
    if isinstance(node, list):
        return [with_todays_names(value) for value in node]
    if not isinstance(node, dict):
        return node
    kept = {k: v for k, v in node.items() if not (isinstance(v, dict) and v.get("_target_") in REMOVED)}
    copied = {key: _renamed(value) if key == "_target_" else with_todays_names(value) for key, value in kept.items()}
    added = ADDED if node.keys() >= PHOTO_FOLDER else {}
    for name in (node.get("_target_"), copied.get("_target_")):
        added = added | ADDED_TO.get(str(name), {})
    return {**added, **copied}


def _renamed(target: Any) -> Any:
    return todays_name(target, RENAMED | LIGHTNING) if isinstance(target, str) else target
