"""Saves and restores the values that a LightningModule has logged in an epoch, which Lightning's checkpoints lack.

Like lightning_internals.py, it uses private names of Lightning.
"""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric, _Sync

SETTINGS = (
    *("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph", "add_dataloader_idx"),
    *("dataloader_idx", "metric_attribute"),
)
"""Arguments of `self.log` as Lightning keeps them."""

REDUCTIONS: dict[str, Any] = {
    **{name: getattr(torch, name) for name in ("mean", "sum", "min", "max")},
    **{f"builtins.{function.__name__}": function for function in (sum, min, max)},
}

NAMES = {function: name for name, function in REDUCTIONS.items()}


def logged_values(trainer: Trainer) -> dict[str, Any]:
    """Each value that this epoch's training has logged: the arguments of `self.log`, and the sum or mean so far."""
    return {key: _saved(result) for key, result in trainer.fit_loop.epoch_loop._results.items()}


def _saved(result: _ResultMetric) -> dict[str, Any]:
    meta, sync = result.meta, result.meta.sync
    return {
        "settings": {name: getattr(meta, name) for name in SETTINGS},
        "reduction": NAMES[meta.reduce_fx],
        "sync": {"_should": sync.should, "_op": sync.op, "rank_zero_only": sync.rank_zero_only},
        "state": dict(result.metric_state) if result.is_tensor else None,
        "last": result._forward_cache,
        "updates": result._update_count,
        "is_over": result.has_reset,
    }


def load_logged_values(trainer: Trainer, module: LightningModule, saved: dict[str, Any]) -> None:
    """Continues with the result of `logged_values`."""
    results = trainer.fit_loop.epoch_loop._results
    for key, entry in saved.items():
        is_tensor = entry["state"] is not None
        meta = _Metadata(**entry["settings"], reduce_fx=REDUCTIONS[entry["reduction"]])
        meta.sync = _Sync(fn=trainer.strategy.reduce, **entry["sync"])
        result = _ResultMetric(meta, is_tensor)
        result._forward_cache, result._update_count, result.has_reset = (
            entry["last"],
            entry["updates"],
            entry["is_over"],
        )
        for name in result.metric_state:
            setattr(result, name, entry["state"][name])
        if not is_tensor:
            result.value = module.get_submodule(entry["settings"]["metric_attribute"])
        results[key] = result.to(module.device)
