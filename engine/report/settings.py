"""What a run's config has that its experiment's defaults do not."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from engine.config.sweep_job import key_of
from engine.errors import UserError
from engine.files import read_plain
from engine.paths import CONF
from engine.run.config_file import NO_RUNS, flat, is_linked
from engine.run.trust.plain_yaml import load_plain_yaml

MAX_BYTES = 1 << 20
ABSENT = "–"

NAMES = ("experiment", "name", "tags", "notes")
"""What a run is called, which the page says elsewhere."""


class Change(NamedTuple):
    """A key with its value in the defaults and in the run."""

    key: str
    default: Any
    value: Any


def overrides_of(directory: Path) -> list[str]:
    """The arguments that the run was started with, from Hydra's records; empty if they are not there."""
    content = _noted(directory, "overrides.yaml")
    return [text for text in content if isinstance(text, str)] if isinstance(content, list) else []


def config_dirs_of(directory: Path) -> list[str]:
    """The folder that was given as --config-dir, if there was one, from Hydra's records: for a command, not for use."""
    if HydraConfig.initialized():  # during the run itself
        return _given_folders()
    content = _noted(directory, "hydra.yaml")
    try:
        sources = content["hydra"]["runtime"]["config_sources"]
        return [str(source["path"]) for source in sources if source["provider"] == "command-line"]
    except (KeyError, TypeError):
        return []


def _noted(directory: Path, name: str) -> Any:
    """A file of Hydra's records; None if it is not there, or no YAML."""
    try:
        return load_plain_yaml(read_plain(directory / ".hydra" / name, MAX_BYTES))
    except (OSError, ValueError, UserError):
        return None


def changes(config: Mapping[Any, Any], overrides: Sequence[str]) -> list[Change] | None:
    """Where the run's stored config differs from its experiment's; None if that is not in this checkout."""
    chosen = [text for text in overrides if key_of(text) == "experiment"] or [
        f"experiment={config.get('experiment', config.get('name'))}"
    ]
    if not all(re.fullmatch(r"experiment=\w[\w-]*", text) for text in chosen):  # they may be a stranger's
        return None
    try:
        defaults = _composed(chosen)
    except Exception:  # whatever Hydra finds wrong with an experiment of another checkout
        return None
    default, own = flat(defaults), flat(config)
    given = {key_of(text) for text in overrides}
    found = []
    for key in dict.fromkeys([*default, *own]):
        before, after = default.get(key, ABSENT), own.get(key, ABSENT)
        if key in (*NO_RUNS, *NAMES) or before == after or _is_same_place(before, after):
            continue
        if key not in given and _agrees(before, after):
            continue
        found.append(Change(key, before, after))
    return found


def _composed(overrides: Sequence[str]) -> Mapping[Any, Any]:
    """The config, every interpolation as it stands; the defaults of a run that goes on are those of a new one."""
    folders = _given_folders()
    searched = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"] if folders else []
    running, hydra = GlobalHydra.instance(), GlobalHydra.instance().hydra
    running.clear()  # that of the run, which may look for its config in another folder
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = OmegaConf.to_container(compose("train", [*overrides, *searched]), resolve=False)
    finally:
        running.hydra = hydra
    assert isinstance(config, dict)
    return config


def _given_folders() -> list[str]:
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ()
    return [source.path for source in sources if source.provider == "command-line"]


def _is_computed(value: object) -> bool:
    """Whether a resolver gives the value, which config.yaml has instead."""
    return isinstance(value, str) and "${" in value and not is_linked(value)


def _agrees(default: object, value: object) -> bool:
    """Whether the value may be what the default's resolvers gave."""
    if _is_computed(default):
        return True
    if isinstance(default, dict) and isinstance(value, dict):
        return default.keys() == value.keys() and all(_agrees(child, value[key]) for key, child in default.items())
    if isinstance(default, list) and isinstance(value, list):
        return len(default) == len(value) and all(map(_agrees, default, value))
    return default == value


def _is_same_place(default: object, value: object) -> bool:
    """config.yaml has absolute paths."""
    if not (isinstance(default, str) and isinstance(value, str) and Path(value).is_absolute()):
        return False
    return bool(default) and f"{os.sep}{value}".endswith(f"{os.sep}{default.rstrip(os.sep)}")
