"""A run's config, and its config.yaml, from which it is resumed, evaluated and exported. Nothing here imports torch."""

import copy
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from engine.errors import UserError
from engine.files import replace_text
from engine.paths import command, typed
from engine.run.outcome import outcome

RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID")
"""Where Lightning, torchrun and SLURM write which of several processes this one is; the first is 0 in all of them."""

LINK = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
"""A value that is another key's: `${trainer.max_epochs}`. No resolver, no relative key, nothing nested."""

AS_WRITTEN = ("${usable_cores:}", "${eval_resize:${datamodule.image_size}}")
"""Stored as they stand: another machine has another number of cores, and another image_size another size before it."""

CGROUP = Path("/sys/fs/cgroup")

NO_RUNS = {"resume": None, "run_dir": "${hydra:runtime.output_dir}"}
"""Keys whose values are not stored: they say where the run is, not what it is."""


def usable_cores() -> int:
    """The cores that this process may use: its affinity and its container's quota (cgroup v2, then v1) count."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # no such file, or no limit: `max`, -1
            quota, period = (int(number) for name in names for number in (CGROUP / name).read_text().split())
            cores = min(cores, max(1, math.ceil(quota / period))) if quota > 0 else cores
    return cores


def eval_resize(image_size: Any) -> Any:
    """Pixels of a photo's shorter side before the center crop to `image_size`: 256 for 224, as in torchvision."""
    return image_size * 8 // 7 if isinstance(image_size, int) else image_size


def register_stored_resolvers() -> None:
    """Those that a run's config.yaml may have."""
    OmegaConf.register_new_resolver("eval_resize", eval_resize, replace=True)
    OmegaConf.register_new_resolver("usable_cores", usable_cores, replace=True)


def is_first_process() -> bool:
    return not any(int(os.environ.get(name, "0")) for name in RANKS)


_written: Any = []
"""What this process wrote last: the file, and the config without and with its interpolations resolved."""


def save_config(cfg: DictConfig) -> dict[str, Any]:
    """Writes config.yaml and returns the config with every interpolation resolved."""
    config = resolved(cfg)
    if is_first_process():
        file, raw = Path(cfg.run_dir, "config.yaml"), OmegaConf.to_container(cfg, resolve=False)
        if _written != [file, raw, config] or not file.is_file():
            replace_text(file, _text(raw, config))
            _written[:] = file, raw, config
    return copy.deepcopy(config)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The config in plain containers; `datamodule.data_dir` becomes absolute in `cfg` too."""
    with open_dict(cfg):
        for part, key in (
            ("datamodule", "data_dir"),
            ("datamodule", "table"),
            ("features", "cache_dir"),
            ("datamodule", "index_dir"),
        ):
            path = OmegaConf.select(cfg, f"{part}.{key}")
            if isinstance(path, str) and (key not in ("cache_dir", "index_dir") or path.startswith("~")):
                cfg[part][key] = str(Path(path).expanduser().absolute())
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def stored(cfg: DictConfig) -> str:
    """The text of config.yaml: links between keys stay, resolvers' values and the run directory's path do not."""
    config = resolved(cfg)
    return _text(OmegaConf.to_container(cfg, resolve=False), config)


def _text(raw: Any, config: Mapping[str, Any]) -> str:
    kept = _kept(raw, config, str(config["run_dir"]))
    return OmegaConf.to_yaml(OmegaConf.create(kept | NO_RUNS))


def is_linked(text: str) -> bool:
    """Whether all interpolations in a text are links to other keys."""
    return "${" in text and "${" not in LINK.sub("", text) and "\\$" not in text


def _kept(raw: Any, value: Any, run_dir: str) -> Any:
    if isinstance(raw, dict):
        return {key: _kept(child, value[key], run_dir) for key, child in raw.items()}
    if isinstance(raw, list):
        return [_kept(child, value[index], run_dir) for index, child in enumerate(raw)]
    if isinstance(raw, str) and (is_linked(raw) or raw in AS_WRITTEN):
        return raw
    return movable(value, run_dir)


def movable(node: Any, run_dir: str) -> Any:
    """A config's containers, `${run_dir}` standing for the run directory in paths to it or into it."""
    if isinstance(node, dict):
        return {key: movable(value, run_dir) for key, value in node.items()}
    if isinstance(node, list):
        return [movable(value, run_dir) for value in node]
    if not isinstance(node, str):
        return node
    return re.sub(rf"^(\w+://)?{re.escape(run_dir)}(?=/|$)", r"\g<1>${run_dir}", node)


def has_features(cfg: Mapping[Any, Any]) -> bool:
    """Whether the run is on features that its frozen backbone gives ahead (engine/features/features.py)."""
    return bool(cfg.get("cache")) and "features" in cfg


def holds_run(directory: Path) -> bool:
    """Whether a run has been there; one that failed before it trained anything left nothing to protect."""
    patterns = ("checkpoints/*.ckpt", "events.out.tfevents.*", "metrics.csv")
    if any(next(directory.glob(pattern), None) for pattern in patterns):
        return True
    return (directory / "config.yaml").is_file() and outcome(directory).get("status") != "failed"


def refuse_used_directory(directory: Path) -> None:
    """UserError where another run has been in `directory`."""
    if is_first_process() and holds_run(directory):
        raise UserError(
            f"{directory} already holds a run: continue it with `{command('train.py')} resume={typed(directory)}`, "
            "or give another hydra.run.dir."
        )


def flat(config: Mapping[Any, Any]) -> dict[str, Any]:
    """Every value by its dotted key; a list is one value, and so is an empty mapping."""
    return dict(_leaves(config, ""))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node
