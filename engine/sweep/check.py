"""Checks a sweep's jobs before the first one starts and before anything is written. Nothing here imports torch."""

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from math import prod
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.utils import instantiate
from omegaconf import DictConfig

from engine.config.composition import explained
from engine.config.sweep_job import representatives
from engine.errors import UserError
from engine.process.startup import silence_idle_messages
from engine.run.config_file import given
from engine.sweep.search.search_space import last_of_each
from engine.sweep.worker import Worker
from engine.wording import missing_extra

MAX_JOBS = 100_000
ALL_COMBINATIONS = ("hydra_plugins.plugins.GridSweeper", "hydra._internal.core_plugins.basic_sweeper.BasicSweeper")
"""Sweepers whose jobs are known before the first one starts."""

HERE = ("BasicLauncher", "JoblibLauncher")
"""Launchers that can run the first job in the process that checked the jobs."""


def refuse_mistakes(config: DictConfig) -> None:
    """Raises UserError, with all mistakes in one message, if jobs of this sweep could not run."""
    for plugin in ("sweeper", "launcher"):
        target = config.hydra[plugin]._target_
        if missing := missing_extra(target):
            raise UserError(f"{plugin}={target.rpartition('.')[2]} {missing}.")
    jobs = planned_jobs(config) if config.hydra.sweeper._target_ in ALL_COMBINATIONS else _ends_of_a_search(config)
    if not jobs:
        raise UserError("The sweep has no jobs: list values to sweep over, or give sweep.n=1 or more.")
    load = GlobalHydra.instance().config_loader().load_sweep_config
    try:
        configs = [load(config, [*job, "hydra.runtime.output_dir=."]) for job in representatives(jobs)]
    except Exception as error:
        raise UserError(explained("train", sys.argv[1:]) or str(error)) from error
    worker = Worker.current()
    mistakes = worker.check(configs, elsewhere=_runs_elsewhere(config.hydra.launcher))
    if not config.hydra.launcher._target_.endswith(HERE):
        worker.retire()
    if mistakes:
        raise UserError(mistakes)


def _runs_elsewhere(launcher: DictConfig) -> bool:
    """Whether jobs may run on other machines; submitit can run them on this one, and Ray without a cluster."""
    is_here = launcher.get("cluster") == "local" or ("address" in launcher and launcher.address is None)
    return not launcher._target_.endswith(HERE) and not is_here


def planned_jobs(config: DictConfig) -> list[list[str]]:
    """The jobs of a sweep over all combinations, each as a list of overrides."""
    try:
        overrides = _overrides(config)
        swept = [_texts(override) for override in overrides if override.is_sweep_override()]
        sizes = [sum(1 for _ in islice(values, MAX_JOBS + 1)) for values in swept]
        if prod(sizes) > MAX_JOBS:
            raise UserError(f"The sweep has more than {MAX_JOBS:,} jobs: sweep over fewer values.")
        (jobs,) = BasicSweeper.split_arguments(overrides, None)
    except UserError:
        raise
    except Exception as error:  # an interval, for example
        raise UserError(explained("train", sys.argv[1:]) or str(error)) from error
    return [list(job) for job in jobs]


def _texts(override: Override) -> Iterator[str]:
    """The values of a swept key. Raises UserError for a shuffled range that is too long to be listed."""
    value: Any = override.value()
    is_listed = isinstance(value, RangeSweep) and value.shuffle and None not in (value.start, value.stop)
    if is_listed and (value.stop - value.start) / value.step > MAX_JOBS:
        raise UserError(f"The sweep has more than {MAX_JOBS:,} jobs: sweep over fewer values.")
    return override.sweep_string_iterator()


def _overrides(config: DictConfig) -> list[Override]:
    loader = GlobalHydra.instance().config_loader()
    return last_of_each(config.hydra.sweeper.params, given(config.hydra), loader)


def _ends_of_a_search(config: DictConfig) -> list[list[str]]:
    """Jobs that together contain both ends of every interval and every choice of a search."""
    _check_search(config)
    values = {override.get_key_element(): _values(override) for override in _overrides(config)}
    first = [f"{key}={options[0]}" if "=" not in options[0] else options[0] for key, options in values.items()]
    trial = ["sweep.study=study.journal", "sweep.trial=0"]
    others = [
        [*first[:place], f"{key}={value}", *first[place + 1 :]]
        for place, (key, options) in enumerate(values.items())
        for value in options[1:]
    ]
    return [[*job, *trial] for job in (first, *others)]


def _values(override: Override) -> list[str]:
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else [str(override.input_line)]


def _check_search(config: DictConfig) -> None:
    sweep = config.sweep
    if "://" in str(sweep.study):
        raise UserError(f"sweep.study={sweep.study}: give a file, which the search keeps as a journal, not a database.")
    if str(sweep.sampler._target_).endswith("CmaEsSampler") and find_spec("cmaes") is None:
        raise UserError("sweep.sampler: CmaEsSampler needs another package: pip install cmaes.")
    try:
        instantiate(sweep.sampler, seed=0)
    except Exception as error:
        text = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"sweep.sampler: {text}: ~sweep.sampler.NAME leaves a setting out.") from error


def mistakes_in(configs: Sequence[DictConfig], elsewhere: bool) -> str | None:
    """All mistakes in the jobs' configs in one message; None if there are none. Imports torch, as jobs do."""
    from engine.config.composition import without_hydra
    from engine.preflight.preflight import find_mistakes

    silence_idle_messages()
    found = [find_mistakes(without_hydra(config), elsewhere=elsewhere) for config in configs]
    for findings in found[1:]:
        found[0].lines = findings.lines | found[0].lines
    return found[0].message() if found[0].lines else None
