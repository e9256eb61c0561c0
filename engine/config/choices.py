"""Groups that are chosen when a run is resumed: `logger=csv`, `trainer=gpu`."""

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
"""Settings of the Trainer that each choice of it sets; all others stay the run's own."""


def config_folders(config_dir: str | None) -> list[Path]:
    """Where Hydra looks for a group's choices, the first first."""
    return [CONF, *([Path(config_dir).absolute()] if config_dir else [])]


def file_of(group: str, choice: str, folders: Sequence[Path]) -> Path | None:
    return next((file for folder in folders if (file := folder / group / f"{choice}.yaml").is_file()), None)


def choices_of(group: str, folders: Sequence[Path]) -> list[str]:
    files = [file.relative_to(folder / group) for folder in folders for file in (folder / group).rglob("*.yaml")]
    return [str(file.with_suffix("")) for file in files]


def with_choices(config: DictConfig, overrides: list[str], config_dir: str | None) -> list[str]:
    """Makes room in a run's config for the groups that `overrides` choose, and returns overrides that choose them.

    A choice replaces what the run had. Only the Trainer keeps its settings, except for those that the choice is about.
    What is returned has the same effect when it comes again, from a process that Lightning starts. UserError for
    another experiment.
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
    """In Hydra's grammar, which reads JSON of plain values."""
    return json.dumps(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _trainer(name: str, config_dir: str | None) -> Any:
    """The settings that a choice of the Trainer makes."""
    auto: Any = OmegaConf.load(CONF / "trainer" / "auto.yaml")
    return OmegaConf.merge({key: auto[key] for key in WHERE}, _own(name, config_dir))


def _own(name: str, config_dir: str | None) -> Any:
    """What the file of a Trainer's choice says beyond auto.yaml."""
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
