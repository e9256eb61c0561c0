"""One job of a sweep: its settings, directory and outcome. Nothing here imports torch."""

import math
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf.errors import OmegaConfBaseException

from engine.run.config_file import given, in_sweep

Setting = bool | int | float | str | None

DONE = ("completed", "pruned")
"""Statuses in metrics.json of jobs that are finished."""

ABOUT_THE_SWEEP = ("sweep", "launcher", "hydra")
"""Groups that configure how jobs are run, not what they compute."""

FOLD = "datamodule.fold"
REPEATS = ("seed", FOLD)
"""Settings that only repeat an experiment, with other random draws or on another part of the data."""

DEFAULT_NAME = "${hydra:runtime.choices.experiment}"
"""Of runs and sweeps, in conf/train.yaml."""

MAX_LEDGER_BYTES = 1 << 28
"""Maximum size of sweep.json."""

MAX_NAME, MAX_VALUE = 100, 30  # characters of a directory's name, and of a value in it


def key_of(override: str) -> str:
    """`optimizer.lr` of `+optimizer.lr=0.1`."""
    return re.split(r"[=@]", override.lstrip("+~"), maxsplit=1)[0]


def is_about_the_sweep(override: str) -> bool:
    """Whether an override configures the sweep, like `sweep=seeds`, `sweep.n=8` or `hydra.sweep.dir=logs/mine`."""
    return re.split(r"[./]", key_of(override), maxsplit=1)[0] in ABOUT_THE_SWEEP


def repeat(overrides: Iterable[str]) -> str:
    """The command that repeats a single job."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ()
    folders = [source.path for source in sources if source.provider == "command-line"]
    options = ["--config-dir", folders[0]] if folders else []
    return shlex.join(["python", "train.py", *options, *(o for o in overrides if not is_about_the_sweep(o))])


def swept_settings() -> dict[str, Setting]:
    """The settings of this job that may differ between jobs of its sweep; empty for a single run.

    When a sweep starts, the ledger adds the keys that all jobs share to Hydra's `override_dirname.exclude_keys`.
    """
    if not in_sweep():
        return {}
    hydra = HydraConfig.get()
    return settings_of(given(hydra), leave_out=hydra.job.config.override_dirname.exclude_keys)


def settings_of(overrides: Iterable[str], leave_out: Collection[str]) -> dict[str, Setting]:
    """A job's overrides as `{"optimizer.lr": 0.1}`, without those for the sweep; lists and dictionaries as text."""
    kept = [o for o in overrides if key_of(o) not in leave_out and not is_about_the_sweep(o)]
    return {key_of(text): _setting(OverridesParser.create().parse_override(text)) for text in kept}


def _setting(override: Override) -> Setting:
    value = override.value()
    return value if isinstance(value, Setting) else override.get_value_element_as_str()


def sweep_name(*, _root_: Any) -> str:
    """`<experiment>_sweep`, or `experiments_sweep` if several experiments are swept."""
    experiments = (text for text in given(_root_.hydra) if key_of(text) == "experiment")
    several = any(OverridesParser.create().parse_override(text).is_sweep_override() for text in experiments)
    return "experiments_sweep" if several else f"{_root_.hydra.runtime.choices.experiment}_sweep"


def own_name(*, _root_: Any) -> str:
    """The `name` given to a run or sweep; empty if it is the default, the name of the experiment.

    Also if it refers to what is not known when a sweep starts, before Hydra has a job.
    """
    name = _root_._get_node("name")._value()
    if name is None or name == DEFAULT_NAME:
        return ""
    with suppress(OmegaConfBaseException):
        return str(_root_.name)
    return ""


def written(value: Setting) -> str:
    """A value in command-line syntax: `null`, `true`, `0.1`."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def job_name() -> str:
    """`003_lr-0.01_seed-1`: the directory of this process's job and its name in TensorBoard.

    Without `=` and commas, which would need quotes in every `run=DIR`.
    """
    return name_of(HydraConfig.get().job.num, swept_settings())


def name_of(number: int, settings: dict[str, Setting]) -> str:
    """See job_name. Keys are shortened to their last part unless that is ambiguous."""
    lasts = [key.rpartition(".")[2] for key in settings]
    parts = [f"{number:03}"]
    for (key, value), last in zip(settings.items(), lasts, strict=True):
        text = re.sub(r"[^\w.+-]+", "-", written(value), flags=re.ASCII)[-MAX_VALUE:]
        text = text.strip("-") if isinstance(value, str) else text
        parts.append(f"{last if lasts.count(last) == 1 else key}-{text}")
    return re.sub(r"[^\w.+-]+", "-", "_".join(parts), flags=re.ASCII)[:MAX_NAME]


def standing(directory: Path) -> Path:
    """The job's current directory, which a run on stand-in data renames."""
    renamed = directory.with_name(f"{directory.name}_stand-in")
    return renamed if renamed.is_dir() else directory


def finite(value: Any) -> float | None:
    """A number from metrics.json; None if it is missing, not a number, NaN or infinite."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def one_of_each_kind(batch: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The first of each set of jobs (lists of overrides) that differ only in numbers."""
    firsts = {tuple(kind_of(text) for text in job): job for job in reversed(batch)}
    return list(firsts.values())[::-1]


def representatives(batch: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Jobs to check on behalf of all: one of each kind, and those with the smallest and largest swept numbers."""
    parser = OverridesParser.create()
    chosen = one_of_each_kind(batch)
    for place in range(max(map(len, batch), default=0)):
        values = {job[place]: parser.parse_override(job[place]).value() for job in batch if place < len(job)}
        numbers = [text for text, value in values.items() if isinstance(value, int | float)]
        ends = {min(numbers, key=values.get), max(numbers, key=values.get)} if len(numbers) > 1 else set()  # type: ignore[arg-type]
        tried = {job[place] for job in chosen if place < len(job)}
        chosen += [next(job for job in batch if place < len(job) and job[place] == text) for text in ends - tried]
    return chosen


@cache
def kind_of(text: str) -> str:
    """The override with a number replaced by its type."""
    override = OverridesParser.create().parse_override(text)
    value = override.value()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{override.get_key_element()}={type(value).__name__}" if is_number else text
