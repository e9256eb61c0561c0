"""Lets a resumed run choose config groups: `logger=csv`, `trainer=gpu`."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from engine.errors import UserError
from engine.paths import CONF
from engine.wording import nearest

WHERE = ("accelerator", "devices", "num_nodes", "strategy")
"""Trainer settings that a choice of `trainer` sets; the run keeps its own values for all others."""


def config_folders(config_dir: str | None) -> list[Path]:
    """The folders that Hydra searches for a group's choices, in order."""
    return [CONF, *([Path(config_dir).absolute()] if config_dir else [])]


def file_of(group: str, choice: str, folders: Sequence[Path]) -> Path | None:
    return next((file for folder in folders if (file := folder / group / f"{choice}.yaml").is_file()), None)


def choices_of(group: str, folders: Sequence[Path]) -> list[str]:
    files = [file.relative_to(folder / group) for folder in folders for file in (folder / group).rglob("*.yaml")]
    return [str(file.with_suffix("")) for file in files]


def with_choices(config: DictConfig, overrides: list[str], config_dir: str | None) -> list[str]:
    """Removes the groups that `overrides` choose from a run's config, and returns overrides that choose them again.

    A choice replaces the run's own. The Trainer keeps its settings except those in WHERE. The result can be applied
    repeatedly, as the processes that Lightning starts do. Raises UserError if another experiment is chosen.
    """
    first, kept = [], []
    for override in overrides:
        key, _, value = override.partition("=")
        group = again[1] if (again := re.fullmatch(r"\+(\w+)@\1", key)) else key
        if group == "experiment":
            raise UserError(f"{override}: a resumed run keeps its experiment: leave it out.")
        if group == "trainer":
            first += [f"++trainer.{name}={_written(setting)}" for name, setting in _trainer(value, config_dir).items()]
        elif "." in group or not (CONF / group).is_dir():
            kept.append(override)
        elif group in ("debug", "launcher", "sweep"):
            kept.append(f"+{override}")
        else:
            config.pop(group, None)
            kept.append(f"+{group}@{group}={value}")
    return [*first, *kept]


def _written(value: Any) -> str:
    """The value as JSON, which Hydra's grammar accepts."""
    return json.dumps(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _trainer(name: str, config_dir: str | None) -> Any:
    """The Trainer settings of a choice."""
    auto: Any = OmegaConf.load(CONF / "trainer" / "auto.yaml")
    return OmegaConf.merge({key: auto[key] for key in WHERE}, _own(name, config_dir))


def _own(name: str, config_dir: str | None) -> Any:
    """The settings that a choice of `trainer` adds to auto.yaml."""
    if name == "auto":
        return {}
    folders = config_folders(config_dir)
    file = file_of("trainer", name, folders)
    if file is None:
        raise UserError(
            f"trainer={name}: there is no {name} in trainer; {nearest(name, choices_of('trainer', folders))}"
        )
    node: Any = OmegaConf.load(file)
    bases = [base for base in node.pop("defaults", []) if base != "_self_"]
    return OmegaConf.merge(*(_own(base, config_dir) for base in bases), node)
