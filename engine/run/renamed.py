"""Modules that run directories written by earlier commits name, and where what they held is now."""

from typing import Any

RENAMED = {
    "callbacks.checkpoint": "engine.checkpoints.best_checkpoint",
    "callbacks.csv_logger": "engine.loggers.csv_logger",
    "callbacks.last_checkpoint": "engine.checkpoints.last_checkpoint",
    "callbacks.progress_bar": "engine.terminal.progress_bar",
    "callbacks.pruning": "engine.sweep.pruning",
    "callbacks.wandb_logger": "engine.loggers.wandb_logger",
    "datamodules.features": "engine.features.features",
    "datamodules.folds": "engine.features.folds",
    "lightning_modules.schedules": "functional.schedules",
}


def with_todays_names(node: Any) -> Any:
    """A config's containers, each `_target_` by its current name."""
    if isinstance(node, list):
        return [with_todays_names(value) for value in node]
    if not isinstance(node, dict):
        return node
    return {key: _renamed(value) if key == "_target_" else with_todays_names(value) for key, value in node.items()}


def _renamed(target: Any) -> Any:
    if not isinstance(target, str):
        return target
    module, _, name = target.rpartition(".")
    return f"{RENAMED.get(module, module)}.{name}"
