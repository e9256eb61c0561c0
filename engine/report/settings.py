"""Finds where a run's config differs from its experiment's defaults."""

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
"""Keys that name a run, which the page shows elsewhere."""


class Change(NamedTuple):
    """A key with its default value and the run's value."""

    key: str
    default: Any
    value: Any


def overrides_of(directory: Path) -> list[str]:
    """The arguments that started the run, from Hydra's records; empty if these are missing."""
    content = _noted(directory, "overrides.yaml")
    return [text for text in content if isinstance(text, str)] if isinstance(content, list) else []


def config_dirs_of(directory: Path) -> list[str]:
    """The folder given as --config-dir, if any, from Hydra's records: to be shown in a command, never read."""
    if HydraConfig.initialized():  # during the run itself
        return _given_folders()
    content = _noted(directory, "hydra.yaml")
    try:
        sources = content["hydra"]["runtime"]["config_sources"]
        return [str(source["path"]) for source in sources if source["provider"] == "command-line"]
    except (KeyError, TypeError):
        return []


def _noted(directory: Path, name: str) -> Any:
    """A file of Hydra's records; None if it is missing or not valid YAML."""
    try:
        return load_plain_yaml(read_plain(directory / ".hydra" / name, MAX_BYTES))
    except (OSError, ValueError, UserError):
        return None


def changes(config: Mapping[Any, Any], overrides: Sequence[str]) -> list[Change] | None:
    """Where the run's stored config differs from its experiment's; None if this checkout lacks the experiment."""
    chosen = [text for text in overrides if key_of(text) == "experiment"] or [
        f"experiment={config.get('experiment', config.get('name'))}"
    ]
    if not all(re.fullmatch(r"experiment=\w[\w-]*", text) for text in chosen):  # untrusted
        return None
    try:
        defaults = _composed(chosen)
    except Exception:  # an experiment of another checkout may fail to compose
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
    """The composed config with unresolved interpolations, independent of the run in progress."""
    folders = _given_folders()
    searched = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"] if folders else []
    running, hydra = GlobalHydra.instance(), GlobalHydra.instance().hydra
    running.clear()  # the run in progress may search other folders for its config
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
    """Whether a resolver computes the value, whose result is in config.yaml."""
    return isinstance(value, str) and "${" in value and not is_linked(value)


def _agrees(default: object, value: object) -> bool:
    """Whether the value may be the result of the default's resolvers."""
    if _is_computed(default):
        return True
    if isinstance(default, dict) and isinstance(value, dict):
        return default.keys() == value.keys() and all(_agrees(child, value[key]) for key, child in default.items())
    if isinstance(default, list) and isinstance(value, list):
        return len(default) == len(value) and all(map(_agrees, default, value))
    return default == value


def _is_same_place(default: object, value: object) -> bool:
    """Whether both are the same path; config.yaml has absolute paths."""
    if not (isinstance(default, str) and isinstance(value, str) and Path(value).is_absolute()):
        return False
    return bool(default) and f"{os.sep}{value}".endswith(f"{os.sep}{default.rstrip(os.sep)}")
