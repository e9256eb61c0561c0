"""What Hydra refuses of a command line, told in one message with the mistakes that the rest of it holds."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from engine.config.sweep_job import one_of_each_kind
from engine.paths import CONF
from engine.preflight.findings import Findings
from engine.startup import quick_imports
from engine.wording import nearest


def explained(config_name: str, argv: Sequence[str]) -> str | None:
    """All mistakes of a command line that Hydra refused to compose a config for; None if it refuses no part of it."""
    arguments, _ = get_args_parser().parse_known_args(argv)
    lines, cfg = refused_overrides(arguments.config_name or config_name, arguments.overrides, arguments.multirun)
    if not lines:
        return None
    findings = Findings(OmegaConf.create())
    if cfg is not None and config_name == "train":
        with quick_imports():
            from engine.preflight.preflight import find_mistakes
            from engine.startup import silence_idle_messages

        silence_idle_messages()
        findings = find_mistakes(cfg)
    findings.lines = lines | findings.lines
    return findings.message()


def refused_overrides(
    config_name: str, overrides: Sequence[str], multirun: bool = False
) -> tuple[dict[str, str], DictConfig | None]:
    """Why Hydra refuses some of the overrides, and the config that the others give, None if there is none.

    They are tried one by one, those of groups first: a value can only be changed once its group has been chosen.
    """
    refused: dict[str, str] = {}
    accepted: list[str] = []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = _composed_or_none(config_name, [])
        for override in sorted(overrides, key=lambda text: "." in text.partition("=")[0]):
            singles = _swept(override) if multirun else [override]
            try:
                tried = [_composed(config_name, [*accepted, single]) for single in singles]
            except Exception as error:
                refused[override] = f"{override}: {_reason(override, error, cfg)}"
            else:
                accepted.append(singles[0])
                cfg = tried[0]
    return refused, cfg


def _composed(config_name: str, overrides: list[str]) -> DictConfig:
    whole = compose(config_name, overrides=[*overrides, "hydra.runtime.output_dir=."], return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    cfg = copy.deepcopy(whole)
    with read_write(cfg), open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _composed_or_none(config_name: str, overrides: list[str]) -> DictConfig | None:
    try:
        return _composed(config_name, overrides)
    except Exception:
        return None


def _swept(override: str) -> list[str]:
    """An override for each of several values that are swept over; of numbers for the first."""
    try:
        parsed = OverridesParser.create().parse_override(override)
        if not parsed.is_sweep_override():
            return [override]
        values = parsed.sweep_string_iterator()
        return [job[0] for job in one_of_each_kind([(f"{override.partition('=')[0]}={value}",) for value in values])]
    except Exception:  # which is told when it is composed
        return [override]


def _reason(override: str, error: Exception, cfg: DictConfig | None) -> str:
    key, _, value = override.lstrip("+~").partition("=")
    if isinstance(error, OverrideParseException):
        return "cannot be read as key=value; put what holds , { [ ( or a space in quotes, as 'key=\"a, b\"'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"there is no {name} in {group or 'conf'}; {nearest(name, _choices(group))}"
    if (CONF / key).is_dir():
        return f"takes the name of a choice, or several as [a,b]; {nearest(value, _choices(key))}"
    if cfg and not override.startswith("+") and (reason := _unknown_key(key, cfg)):
        return reason
    text = str(error.__cause__ or error)
    if text.startswith("Ambiguous value"):
        return "several values are a sweep, started with -m; one value that is a list is [a,b]"
    if "An item is already at" in text:
        return "is there already: leave out the +"
    return text.splitlines()[0] if text else type(error).__name__


def _choices(group: str) -> list[str]:
    return [path.stem for path in (CONF / group).glob("*.yaml")]


def _unknown_key(key: str, cfg: DictConfig) -> str | None:
    """Where a dotted key leaves the config; None if it does not."""
    node: Any = HydraConfig.instance().cfg if key.startswith("hydra.") else cfg
    node = OmegaConf.to_container(node, resolve=False)
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    way: list[str] = []
    for part in key.partition("@")[0].split("."):
        names = [*node, *(groups if not way else ())] if isinstance(node, Mapping) else []
        if part not in names:
            near = nearest(part, [name for name in names if not re.fullmatch("_.*_", name)])
            if "_target_" in names and not near.startswith("did"):
                near += f"; +{key}=… adds it, if {node['_target_']} takes it"
            return f"there is no {part} in {'.'.join(way)}; {near}" if way else f"there is no {part}; {near}"
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
        way.append(part)
    return None
