"""A run's config, and its config.yaml, from which it is resumed, evaluated and exported. Nothing here imports torch."""

import copy
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from engine.errors import UserError
from engine.files import replace_text
from engine.paths import command, typed
from engine.run.outcome import outcome

RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID")
"""Environment variables in which Lightning, torchrun and SLURM number the processes of a run, from 0."""

LINK = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
"""A link to another key: `${trainer.max_epochs}`. No resolvers, no relative keys, no nesting."""

AS_WRITTEN = ("${usable_cores:}", "${eval_resize:${datamodule.image_size}}")
"""Stored unresolved, as their values depend on the machine and on image_size."""

CGROUP = Path("/sys/fs/cgroup")

NO_RUNS = {"resume": None, "run_dir": "${hydra:runtime.output_dir}"}
"""Keys whose values are not stored, since they depend on where the run is."""


PENDING = ".config.yaml.next"
"""The config of a resumed run before its first save."""


def usable_cores() -> int:
    """The number of cores this process may use, from its affinity and its container's quota (cgroup v2 or v1)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # no such file, or no limit: `max`, -1
            quota, period = (int(number) for name in names for number in (CGROUP / name).read_text().split())
            cores = min(cores, max(1, math.ceil(quota / period))) if quota > 0 else cores
    return cores


def most_processes() -> int:
    """The limit for numbers of processes; a larger one is certainly a mistake."""
    return max(64, 4 * usable_cores())


def eval_resize(image_size: Any) -> Any:
    """The size of a photo's shorter side before the center crop to `image_size`: 256 for 224, as in torchvision."""
    return image_size * 8 // 7 if isinstance(image_size, int) else image_size


def register_stored_resolvers() -> None:
    """Registers the resolvers that may occur in a run's config.yaml."""
    OmegaConf.register_new_resolver("eval_resize", eval_resize, replace=True)
    OmegaConf.register_new_resolver("usable_cores", usable_cores, replace=True)


def in_sweep() -> bool:
    """Whether Hydra runs this job as one of several."""
    return HydraConfig.initialized() and bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def is_first_process() -> bool:
    return not any(int(os.environ.get(name, "0")) for name in RANKS)


_written: Any = []
"""The last file that this process wrote, with its unresolved and its resolved config."""


def save_config(cfg: DictConfig) -> dict[str, Any]:
    """Writes config.yaml and returns the resolved config."""
    config = resolved(cfg)
    if is_first_process():
        file, raw = Path(cfg.run_dir, "config.yaml"), OmegaConf.to_container(cfg, resolve=False)
        if _written != [file, raw, config] or not file.is_file():
            replace_text(file, _text(raw, config))
            _written[:] = file, raw, config
    return copy.deepcopy(config)


def complete_pending(directory: Path) -> None:
    """Completes a config change whose checkpoint was saved, or else drops it, in case of a kill in between."""
    pending, last = directory / PENDING, directory / "checkpoints" / "last.ckpt"
    if not pending.is_file() or not is_first_process():
        return
    if last.is_file() and last.stat().st_mtime_ns >= pending.stat().st_mtime_ns:
        pending.replace(directory / "config.yaml")
    else:
        pending.unlink()


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config in plain containers; its paths are made absolute, also in `cfg`."""
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


def given(hydra: Any) -> list[str]:
    """The overrides of a run, sweep or job, as given: in the config, their `${…}` would be resolved, and too early."""
    texts: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    return [str(text) for text in texts]


def plain(value: Any) -> Any:
    """A value of a config in plain containers."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def stored(cfg: DictConfig) -> str:
    """The text of config.yaml, with links between keys, but without resolvers and the run directory's path."""
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
    """The containers of a config, with `${run_dir}` in place of the run directory's path."""
    if isinstance(node, dict):
        return {key: movable(value, run_dir) for key, value in node.items()}
    if isinstance(node, list):
        return [movable(value, run_dir) for value in node]
    if not isinstance(node, str):
        return node
    return re.sub(rf"^(\w+://)?{re.escape(run_dir)}(?=/|$)", r"\g<1>${run_dir}", node)


def has_features(cfg: Mapping[Any, Any]) -> bool:
    """Whether the run trains on cached features of a frozen backbone (engine/features/features.py)."""
    return bool(cfg.get("cache")) and "features" in cfg


def holds_run(directory: Path) -> bool:
    """Whether the directory holds a run; one that failed before training does not count."""
    patterns = ("checkpoints/*.ckpt", "events.out.tfevents.*", "metrics.csv")
    if any(next(directory.glob(pattern), None) for pattern in patterns):
        return True
    return (directory / "config.yaml").is_file() and outcome(directory).get("status") != "failed"


def refuse_used_directory(directory: Path) -> None:
    """UserError if `directory` holds another run."""
    if is_first_process() and holds_run(directory):
        raise UserError(
            f"{directory} already holds a run: continue it with `{command('train.py')} resume={typed(directory)}`, "
            "or give another hydra.run.dir."
        )


def flat(config: Mapping[Any, Any]) -> dict[str, Any]:
    """All values by their dotted keys; lists and empty mappings are values."""
    return dict(_leaves(config, ""))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node
