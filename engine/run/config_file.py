"""A run's config, and its config.yaml, from which it is resumed, evaluated and exported. Nothing here imports torch."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from engine.files import replace_text

RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID")
"""Where Lightning, torchrun and SLURM write which of several processes this one is; the first is 0 in all of them."""


def is_first_process() -> bool:
    return not any(int(os.environ.get(name, "0")) for name in RANKS)


def save_config(cfg: DictConfig) -> dict[str, Any]:
    """Writes config.yaml, all interpolations resolved but the run directory's own path, and returns it."""
    with open_dict(cfg):
        if "data_dir" in (cfg.get("datamodule") or ()):
            cfg.datamodule.data_dir = str(Path(cfg.datamodule.data_dir).absolute())
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    if is_first_process():
        movable = _replaced(config, str(config["run_dir"]), "${run_dir}")
        movable |= {"resume": None, "run_dir": "${hydra:runtime.output_dir}"}
        replace_text(Path(cfg.run_dir, "config.yaml"), OmegaConf.to_yaml(OmegaConf.create(movable)))
    return {str(key): value for key, value in config.items()}


def has_features(cfg: Mapping[Any, Any]) -> bool:
    """Whether the run is on features that its frozen backbone gives ahead (engine/features/features.py)."""
    return bool(cfg.get("cache")) and "features" in cfg


def _replaced(node: Any, old: str, new: str) -> Any:
    """A config's containers with `new` for `old` in each of their texts."""
    if isinstance(node, dict):
        return {key: _replaced(value, old, new) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, old, new) for value in node]
    return node.replace(old, new) if isinstance(node, str) else node
