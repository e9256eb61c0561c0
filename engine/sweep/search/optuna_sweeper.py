"""`sweep=optuna`: Optuna proposes each job's settings and learns from its result.

Hydra imports it at every start, through hydra_plugins/: nothing heavy at the top.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from engine.config.arguments import quoted
from engine.errors import UserError, printable
from engine.files import replace_text
from engine.sweep.search.search_space import assignments, distribution, last_of_each

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

    Space = dict[str, BaseDistribution]

logger = logging.getLogger(__name__)

JOB = "job"
"""The user attribute that assigns a trial to a job (journal.py)."""

LOCK = ".search.lock"
"""A lock in the sweep's directory, held as long as the sweep's process lives."""

DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {"max": "maximize", "min": "minimize"}


class OptunaSweeper(Sweeper):
    """Asks a study for settings, runs the jobs and tells it their results, until it has `sweep.n_trials` trials.

    The study is a journal file that several processes may share. Each trial records its sweep and job number, so an
    interrupted trial is run again: under its number if its own sweep is resumed, else by the next process that opens
    the study. Proposals depend on (seed, number of the trial) and the results so far, not on when a sweep was stopped.

    `params` is the search space from the config; an override of the same key on the command line replaces its entry.
    """

    config: DictConfig
    launcher: Launcher
    hydra_context: HydraContext

    def __init__(self, *, params: dict[str, str], max_batch_size: int | None) -> None:
        self.params = params
        self.max_batch_size = max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        HydraConfig.instance().set_config(config)  # resolves the config's `${hydra:…}`
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        self.directory = Path(self.config.hydra.sweep.dir).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        replace_text(self.directory / "multirun.yaml", OmegaConf.to_yaml(self.config))
        fixed, space = self._parse(arguments)
        self._open_study()
        returned = []
        with FileLock(self.directory / LOCK):
            for batch in self._batches(space):
                shared = [*fixed, f"sweep.study={quoted(self.file)}"]
                trials = [self.study.get_trials(deepcopy=False)[number] for number in batch.values()]
                jobs = [[*shared, f"sweep.trial={trial.number}", *assignments(trial.params)] for trial in trials]
                returned.append(self.launcher.launch(jobs, initial_job_idx=min(batch)))
                for trial, job_return in zip(trials, returned[-1], strict=True):
                    tell(self.study, trial.number, job_return)
        report(self.study, self.config.monitor.metric)
        return returned

    def _parse(self, arguments: list[str]) -> tuple[list[str], "Space"]:
        """The overrides that all jobs share, and the distributions of the swept keys."""
        overrides = last_of_each(self.params, arguments, self.hydra_context.config_loader)
        space = {o.get_key_element(): distribution(o) for o in overrides if o.is_sweep_override()}
        if not space:
            raise UserError("sweep=optuna has nothing to search: give 'optimizer.lr=tag(log,interval(1e-4,1))', say.")
        return [str(o.input_line) for o in overrides if not o.is_sweep_override()], space

    def _open_study(self) -> None:
        import optuna

        from engine.sweep.search.journal import open_study

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.file = Path(self.config.sweep.study or self.directory / "study.journal").absolute()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        direction = DIRECTIONS[self.config.monitor.mode]
        self.study = open_study(self.file, self.config.name, direction)
        if (directions := [found.name.lower() for found in self.study.directions]) != [direction]:
            raise UserError(f"{self.file} holds a study that should {' and '.join(directions)}: give another.")

    def _batches(self, space: "Space") -> Iterator[dict[int, int]]:
        """Batches of trials by job number, numbered consecutively; trials that were already begun come first."""
        with FileLock(self.file.with_name(f".{self.file.name}.ask")):
            begun = self._adopt(space)
        for _, numbered in groupby(enumerate(sorted(begun)), lambda pair: pair[1] - pair[0]):
            yield {job: begun[job] for _, job in numbered}
        while batch := self._ask(space):
            yield batch

    def _adopt(self, space: "Space") -> dict[int, int]:
        """Running trials that no process works on any more, by their job number in this sweep."""
        from optuna.trial import TrialState

        from engine.sweep.search.journal import require_of

        require_of(space, self.study, self.file)
        adopted = {}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            job = trial.user_attrs.get(JOB, {})
            if self._is_worked_on(job.get("sweep")):
                continue
            if trial.params.keys() != space.keys():  # killed during the ask, or from another search
                self.study.tell(trial.number, state=TrialState.FAIL)
            elif job.get("sweep") == str(self.directory):
                adopted[job["number"]] = trial.number
            else:
                adopted[self._note(trial._trial_id)] = trial.number
        return adopted

    def _is_worked_on(self, directory: str | None) -> bool:
        """Whether a process works on the sweep in `directory`; False for this sweep, whose lock this process holds."""
        from engine.sweep.search.journal import is_held

        return directory not in (None, str(self.directory)) and is_held(Path(str(directory), LOCK))

    def _ask(self, space: "Space") -> dict[int, int]:
        """At most `max_batch_size` new trials by job number; none once the study is complete."""
        from numpy.random import SeedSequence

        settings, asked = self.config.sweep, {}
        with FileLock(self.file.with_name(f".{self.file.name}.ask")):
            first = sum(JOB in trial.user_attrs for trial in self.study.get_trials(deepcopy=False))
            for position in range(first, min(first + (self.max_batch_size or 1), settings.n_trials)):
                seed = int(SeedSequence((settings.seed, position)).generate_state(1)[0])
                self.study.sampler = instantiate(settings.sampler, seed=seed)
                trial = self.study.ask(space)
                asked[self._note(trial._trial_id)] = trial.number
        return asked

    def _note(self, trial_id: int) -> int:
        """Assigns a trial to the next job of this sweep, and returns the job's number."""
        from optuna.trial import Trial

        jobs = [trial.user_attrs[JOB] for trial in self.study.get_trials(deepcopy=False) if JOB in trial.user_attrs]
        number = 1 + max((job["number"] for job in jobs if job["sweep"] == str(self.directory)), default=-1)
        Trial(self.study, trial_id).set_user_attr(JOB, {"sweep": str(self.directory), "number": number})
        return number


def tell(study: "Study", number: int, job_return: JobReturn) -> None:
    """Ends a trial as pruned, complete with its best value, or failed."""
    from optuna.trial import TrialState

    value = job_return.return_value if job_return.status == JobStatus.COMPLETED else None
    if study.get_trials(deepcopy=False)[number].user_attrs.get("pruned"):
        study.tell(number, state=TrialState.PRUNED)
    elif isinstance(value, float) and math.isfinite(value):
        study.tell(number, value)
    else:
        study.tell(number, state=TrialState.FAIL)


def report(study: "Study", metric: str) -> None:
    """Logs the numbers of trials by state, and the best one."""
    states = [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    logger.info("%d trials: %s.", len(states), counts)
    if "complete" in states:
        best = study.best_trial
        values = printable(" ".join(assignments(best.params)))
        logger.info("Best: trial %d, %s %.4g: %s", best.number, metric, best.value, values)
