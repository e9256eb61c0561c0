"""The engine: what every experiment needs. Its public names are imported when they are first asked for (PEP 562)."""

import importlib
from typing import Any

PUBLIC = {
    "AtomicCheckpointIO": "checkpoints.checkpoint_io",
    "BestCheckpoint": "checkpoints.best_checkpoint:Checkpoint",
    "ExactState": "checkpoints.exact_state",
    "FrozenBackbone": "features.frozen",
    "KeyedLoader": "photos.photo_loader:PhotoLoader",
    "KeyedSampler": "data.keyed_sampler",
    "LastCheckpoint": "checkpoints.last_checkpoint",
    "Procedure": "training.procedure",
    "TensorDataLoader": "data.tensor_loader",
    "UserError": "errors",
    "keyed_generator": "data.keyed",
    "load_checkpoint": "checkpoints.checkpoint_io",
    "load_run": "api",
    "train": "api",
}
"""Each public name and its module, with its name there if that is another."""

__all__ = sorted(PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    module, _, other = PUBLIC[name].partition(":")
    return getattr(importlib.import_module(f"engine.{module}"), other or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
