"""Groups that are chosen when a run is resumed: `logger=csv`, `trainer=gpu`."""

import json
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from engine.errors import UserError
from engine.paths import CONF
from engine.wording import nearest

WHERE = ("accelerator", "devices", "num_nodes", "strategy")
"""Settings of the Trainer that each choice of it sets; all others stay the run's own."""


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
    folders = [Path(folder) for folder in (config_dir, CONF) if folder]
    file = next((found for folder in folders if (found := folder / "trainer" / f"{name}.yaml").is_file()), None)
    if file is None:
        names = [path.stem for folder in folders for path in (folder / "trainer").glob("*.yaml")]
        raise UserError(f"trainer={name}: there is no {name} in trainer; {nearest(name, names)}")
    node: Any = OmegaConf.load(file)
    bases = [base for base in node.pop("defaults", []) if base != "_self_"]
    return OmegaConf.merge(*(_own(base, config_dir) for base in bases), node)
