"""Explains why Hydra refuses a command line, together with all other mistakes in it."""

import codecs
import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from engine.config.arguments import quoted
from engine.config.choices import choices_of, config_folders, file_of
from engine.config.defaults_list import wrong_entry
from engine.config.sweep_job import one_of_each_kind
from engine.paths import CONF
from engine.preflight.findings import Findings
from engine.process.startup import quick_imports, silence_idle_messages
from engine.wording import nearest


def explained(config_name: str, argv: Sequence[str]) -> str | None:
    """All mistakes in a command line that Hydra could not compose; None if Hydra accepts every part of it."""
    given, _ = get_args_parser().parse_known_args(argv)
    name = given.config_name or config_name
    lines, cfg = refused_overrides(name, given.overrides, multirun=given.multirun, config_dir=given.config_dir)
    if not lines:
        return None
    findings = Findings(OmegaConf.create())
    if cfg is not None and config_name == "train":
        with quick_imports():
            from engine.preflight.preflight import find_mistakes

        silence_idle_messages()
        findings = find_mistakes(cfg)
    findings.lines = lines | findings.lines
    return findings.message()


def refused_overrides(
    config_name: str, overrides: Sequence[str], *, multirun: bool = False, config_dir: str | None = None
) -> tuple[dict[str, str], DictConfig | None]:
    """Why Hydra refuses some of the overrides, and the config composed from the others (None if that fails, too).

    Overrides are tried one by one, groups first: a value can only be changed after its group is chosen.
    """
    refused: dict[str, str] = {}
    folders = config_folders(config_dir)
    accepted = [f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in folders[1:])}]"]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = _composed_or_none(config_name, accepted)
        for override in sorted(overrides, key=lambda text: "." in text.partition("=")[0]):
            searches = any(text.startswith("sweep=optuna") for text in accepted)
            singles = _swept(override, searches) if multirun else [override]
            try:
                tried = [_composed(config_name, [*accepted, single]) for single in singles]
            except Exception as error:
                refused[override] = f"{override}: {_reason(override, error, cfg, folders)}"
            else:
                accepted.append(singles[0])
                cfg = tried[0]
                multirun |= HydraConfig.get().mode == RunMode.MULTIRUN
    if cfg is not None and OmegaConf.select(cfg, "sweep.study", default="") is None:
        cfg.sweep.study, cfg.sweep.trial = "study.journal", 0  # as in a job of the search
    return refused, cfg


def _composed(config_name: str, overrides: list[str]) -> DictConfig:
    whole = compose(config_name, overrides=[*overrides, "hydra.runtime.output_dir=."], return_hydra_config=True)
    return without_hydra(whole)


def without_hydra(whole: DictConfig) -> DictConfig:
    """The config without `hydra`, which is stored where `${hydra:…}` finds it."""
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


def _swept(override: str, searches: bool) -> list[str]:
    """One override per swept value; of numbers only the first, of an interval its start."""
    try:
        parsed = OverridesParser.create().parse_override(override)
        value = parsed.value()
        if isinstance(value, IntervalSweep) and searches:
            return [f"{override.partition('=')[0]}={value.start}"]
        if not parsed.is_sweep_override() or isinstance(value, IntervalSweep):
            return [override]
        values = parsed.sweep_string_iterator()
        return [job[0] for job in one_of_each_kind([(f"{override.partition('=')[0]}={value}",) for value in values])]
    except Exception:  # reported when it is composed
        return [override]


def _reason(override: str, error: Exception, cfg: DictConfig | None, folders: Sequence[Path]) -> str:
    key, _, value = override.lstrip("+~").partition("=")
    if isinstance(error, OverrideParseException):
        return "cannot be read as key=value; quote a value that contains , { [ ( or spaces: 'key=\"a, b\"'"
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}: {error.problem}"
    if fault := next((fault for name in _choices_in(value) if (fault := wrong_entry(key, name, folders))), None):
        return fault
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        choices = nearest(name, _choices(group, folders))
        return f"there is no {name} in {group or 'conf'}; {choices}" if name else f"has no value; {choices}"
    if any((folder / key).is_dir() for folder in folders):
        if fault := _fault_in_file(key, value, folders):
            return fault
        if not re.fullmatch(r"[\w/.-]+", value) or value not in choices_of(key, folders):
            if value.startswith("{"):
                return f"takes the name of a choice, not a mapping; give settings one by one, as {key}.NAME=VALUE"
            return f"takes the name of a choice, or several as [a,b]; {nearest(value, choices_of(key, folders))}"
    if cfg and not override.startswith("+") and (reason := _unknown_key(key, cfg)):
        return reason
    return _in_hydras_words(str(error.__cause__ or error)) or type(error).__name__


def _choices_in(value: str) -> list[str]:
    """`a` and `b` of `[a,b]`."""
    return [name.strip(" \"'") for name in value.strip("[]").split(",") if name]


def _choices(group: str, folders: Sequence[Path]) -> list[str]:
    """The names of a group's choices, including those of Hydra's own groups and plug-ins."""
    loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None
    return loader.get_group_options(group) if loader and group.startswith("hydra/") else choices_of(group, folders)


def _in_hydras_words(text: str) -> str:
    """Hydra's message, reworded."""
    if text.startswith("Ambiguous value"):
        return "several values are a sweep, which needs -m; a single value that is a list is written [a,b]"
    if "requires --multirun" in text:
        return "an interval is searched by sweep=optuna; without it, list the values: a,b,c"
    if "An item is already at" in text:
        return "already exists: leave out the +"
    return text.partition("\n")[0]


def _fault_in_file(group: str, choice: str, folders: Sequence[Path]) -> str | None:
    """Faults in a choice's file that Hydra reports poorly or not at all; None if there are none."""
    file = file_of(group, choice, folders)
    if file is None:
        return None
    content = file.read_bytes()
    if content.startswith(codecs.BOM_UTF8):
        return f"{file} starts with a byte order mark, which hides its first line from Hydra: save it without one"
    if group == "experiment" and b"@package _global_" not in content:
        return f"{file} needs `# @package _global_` as its first line, as every experiment does"
    return None


def _unknown_key(key: str, cfg: DictConfig) -> str | None:
    """The first part of a dotted key that is not in the config; None if all are."""
    node: Any = HydraConfig.instance().cfg if key.startswith("hydra.") else cfg
    node = root = OmegaConf.to_container(node, resolve=False)
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    way: list[str] = []
    for part in key.partition("@")[0].split("."):
        names = [*node, *(groups if not way else ())] if isinstance(node, Mapping) else []
        if part not in names:
            near = _nearest_key(part, [name for name in names if not re.fullmatch("_.*_", name)])
            if not way and (leaves := _leaves(part, root)) and not near.startswith("did"):
                near = f"did you mean {' or '.join(leaves)}?"
            if "_target_" in names and _takes(node["_target_"], part):
                near = f"{str(node['_target_']).rpartition('.')[2]} takes it, and +{key}=… adds it"
            return f"there is no {part} in {'.'.join(way)}; {near}" if way else f"there is no {part}; {near}"
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
        way.append(part)
    return None


def _takes(target: Any, name: str) -> bool:
    """Whether a `_target_` has an argument of this name, or takes any."""
    with quick_imports():
        from engine.preflight.signatures import signature_of
        from engine.preflight.targets import find_target
    try:
        return signature_of(find_target(target)).takes(name)
    except LookupError:  # reported by preflight
        return False


def _nearest_key(part: str, names: Sequence[str]) -> str:
    """Like `nearest`, but also recognizes initials: lr for learning_rate."""
    initials = "".join(word[:1] for word in part.split("_"))
    return f"did you mean {initials}?" if "_" in part and initials in names else nearest(part, names)


def _leaves(part: str, node: Any) -> list[str]:
    """At most three full keys that end in this name or a similar one and are not links to other keys."""
    keys = {path: path.rpartition(".")[2] for path in _paths(node, "") if not re.search(r"(^|\.)_", path)}
    like = get_close_matches(part, {*keys.values()}, n=1, cutoff=0.7)
    name = part if part in keys.values() else next(iter(like), None)
    return [path for path, last in keys.items() if last == name and path.count(".") == 1][:3]


def _paths(node: Any, prefix: str) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if not str(value).startswith("${"):
            yield f"{prefix}{key}"
        yield from _paths(value, f"{prefix}{key}.")
