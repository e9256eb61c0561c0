"""Composes a sweep's configs, only once for jobs that differ only in numbers. Nothing here imports torch.

For every job, Hydra reads and merges each file of conf/, which takes longer than training on cached features.
"""

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from engine.config.sweep_job import kind_of

PREFIXES = ("+", "~", "hydra.", "hydra/")
"""Prefixes of overrides that do more than change a value."""


class JobConfigs:
    """Replaces Hydra's config loader for the jobs of one sweep."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._first: dict[tuple[str, ...], tuple[list[str], DictConfig]] = {}

    def load_sweep_config(self, master: DictConfig, overrides: Sequence[str]) -> DictConfig:
        """Returns the same config as Hydra's loader."""
        kinds = tuple(kind_of(text) for text in overrides)
        if kinds in self._first:
            before, config = self._first[kinds]
            return _with_values(copy.deepcopy(config), before, overrides)
        config = self._loader.load_sweep_config(master, list(overrides))
        if _may_change(config, overrides):
            self._first[kinds] = (list(overrides), copy.deepcopy(config))
        return config


@cache
def _parsed(text: str) -> Override:
    override: Override = OverridesParser.create().parse_override(text)
    return override


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _may_change(config: DictConfig, overrides: Sequence[str]) -> bool:
    """Whether each numeric override only sets the value of a key, and does not choose a group, for example."""
    numbers = {text: _parsed(text) for text in overrides if _is_number(_parsed(text).value())}
    keys = [override.key_or_group for override in map(_parsed, overrides)]
    return all(
        not text.startswith(PREFIXES)
        and override.package is None
        and keys.count(override.key_or_group) == 1
        and OmegaConf.select(config, override.key_or_group) == override.value()
        for text, override in numbers.items()
    )


def _with_values(config: DictConfig, before: Sequence[str], overrides: Sequence[str]) -> DictConfig:
    """Updates another job's config, composed with the overrides `before`, to this job's."""
    for text, earlier in zip(overrides, before, strict=True):
        if text != earlier:
            OmegaConf.update(config, _parsed(text).key_or_group, _parsed(text).value(), merge=True)
    own = [override for override in map(_parsed, overrides) if not override.is_hydra_override()]
    hydra = config.hydra
    names = hydra.job.config.override_dirname
    with open_dict(hydra):
        hydra.overrides.task = [override.input_line for override in own]
        hydra.job.override_dirname = get_overrides_dirname(
            overrides=own, kv_sep=names.kv_sep, item_sep=names.item_sep, exclude_keys=names.exclude_keys
        )
    return config
