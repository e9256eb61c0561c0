"""What is asked and told, with jobs that take no time."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from engine.config.resolvers import register_resolvers
from engine.errors import UserError
from engine.sweep.search.journal import is_held
from engine.sweep.search.optuna_sweeper import LOCK, OptunaSweeper
from tests.conftest import ROOT

Objective = Callable[[dict[str, str]], float | None]
SPACE = ("optimizer.lr=tag(log,interval(1e-5,1))", "datamodule.batch_size=4,16")


class Jobs:
    """A launcher whose jobs are calls of `objective` with their overrides; it raises what the objective raises."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.launched: list[tuple[int, dict[str, str]]] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        returned = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            settings = dict(override.split("=", 1) for override in overrides)
            self.launched.append((number, settings))
            job = JobReturn(status=JobStatus.COMPLETED)
            job.return_value = self.objective(settings)
            returned.append(job)
        return returned


Search = Callable[..., tuple[optuna.Study, Jobs]]


@pytest.fixture
def search() -> Iterator[Search]:
    """`search(directory, objective, *arguments)` goes through a search, and gives its study and its jobs."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):

        def run(directory: Path, objective: Objective, *arguments: str) -> tuple[optuna.Study, Jobs]:
            given = ["sweep=optuna", *(argument for argument in arguments if argument not in SPACE)]
            config = compose("train", [*given, f"hydra.sweep.dir={directory}"], return_hydra_config=True)
            loader = GlobalHydra.instance().config_loader()
            settings = config.hydra.sweeper
            sweeper = OptunaSweeper(params=settings.params, max_batch_size=settings.max_batch_size)
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            sweeper.setup(hydra_context=context, task_function=lambda cfg: None, config=config)
            jobs = sweeper.launcher = Jobs(objective)  # type: ignore[assignment]
            with suppress(KeyboardInterrupt):
                sweeper.sweep([*given, *(argument for argument in arguments if argument in SPACE)])
            return sweeper.study, jobs

        yield run
    HydraConfig.instance().cfg = None


def hill(settings: dict[str, str]) -> float:
    """Highest, 1, at lr = 0.01, and with batches of 16."""
    return 1 - (math.log10(float(settings["optimizer.lr"])) + 2) ** 2 - (settings["datamodule.batch_size"] != "16")


def test_learns_from_the_results(search: Search, tmp_path: Path) -> None:
    study, jobs = search(tmp_path, hill, *SPACE, "sweep.n_trials=30", "seed=3")
    assert [number for number, _ in jobs.launched] == list(range(30))
    assert [settings["sweep.trial"] for _, settings in jobs.launched] == [str(number) for number in range(30)]
    assert [trial.value for trial in study.trials] == [hill(settings) for _, settings in jobs.launched]
    assert {settings["seed"] for _, settings in jobs.launched} == {"3"}
    assert study.best_value > 0.95
    values = [trial.value or 0 for trial in study.trials]
    assert sum(values[-10:]) > sum(values[:10]) + 10, "the first ten are drawn at random"
    assert (tmp_path / "multirun.yaml").is_file()


def test_what_the_preset_searches_where_nothing_is_said(search: Search, tmp_path: Path) -> None:
    study, jobs = search(tmp_path, lambda settings: 1.0, "sweep.n_trials=2")
    assert set(study.trials[0].params) == {"optimizer.lr"}
    study, jobs = search(tmp_path / "2", lambda settings: 1.0, "sweep.n_trials=2", "optimizer.lr=0.1", SPACE[1])
    assert set(study.trials[0].params) == {"datamodule.batch_size"}
    assert jobs.launched[0][1]["optimizer.lr"] == "0.1"


def test_nothing_to_search_is_one_sentence(search: Search, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to search"):
        search(tmp_path, hill, "optimizer.lr=0.1")


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_failed_job_costs_its_trial_alone(value: float | None, search: Search, tmp_path: Path) -> None:
    def objective(settings: dict[str, str]) -> float | None:
        return value if int(settings["sweep.trial"]) in (1, 4) else hill(settings)

    study, _ = search(tmp_path, objective, *SPACE, "sweep.n_trials=6")
    failed = [trial.number for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed == [1, 4]
    assert len(study.trials) == 6


def test_a_run_that_was_given_up_is_told_as_pruned(search: Search, tmp_path: Path) -> None:
    def objective(settings: dict[str, str]) -> float:
        if settings["sweep.trial"] == "2":
            storage = JournalStorage(JournalFileBackend(settings["sweep.study"].strip('"')))
            study = optuna.load_study(study_name="transfer_feature_extractor", storage=storage)
            trial = optuna.trial.Trial(study, study.trials[2]._trial_id)
            trial.report(0.25, 0)
            trial.set_user_attr("pruned", True)
        return hill(settings)

    study, _ = search(tmp_path, objective, *SPACE, "sweep.n_trials=4")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert study.trials[2].value == 0.25


def stopped_at(number: int) -> Objective:
    def objective(settings: dict[str, str]) -> float:
        if settings["sweep.trial"] == str(number):
            raise KeyboardInterrupt
        return hill(settings)

    return objective


def test_stopped_and_resumed_it_asks_the_same(search: Search, tmp_path: Path) -> None:
    settings = (*SPACE, "sweep.n_trials=16")
    whole, _ = search(tmp_path / "whole", hill, *settings)
    search(tmp_path / "parts", stopped_at(12), *settings)
    study, jobs = search(tmp_path / "parts", hill, *settings)
    assert [number for number, _ in jobs.launched] == [12, 13, 14, 15]
    assert [trial.params for trial in study.trials] == [trial.params for trial in whole.trials]
    assert [trial.values for trial in study.trials] == [trial.values for trial in whole.trials]


def test_killed_while_it_asked_it_asks_again(search: Search, tmp_path: Path) -> None:
    settings = (*SPACE, "sweep.n_trials=14")
    whole, _ = search(tmp_path / "whole", hill, *settings)
    search(tmp_path / "parts", hill, *SPACE, "sweep.n_trials=12")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "parts" / "study.journal")))
    half = optuna.load_study(study_name="transfer_feature_extractor", storage=storage).ask()
    half.suggest_float("optimizer.lr", 1e-5, 1, log=True)
    study, jobs = search(tmp_path / "parts", hill, *settings)
    assert [number for number, _ in jobs.launched] == [12, 13]
    assert study.trials[12].state == TrialState.FAIL
    params = [trial.params for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert params == [trial.params for trial in whole.trials]


def test_a_larger_search_goes_on(search: Search, tmp_path: Path) -> None:
    search(tmp_path, hill, *SPACE, "sweep.n_trials=3")
    study, jobs = search(tmp_path, hill, *SPACE, "sweep.n_trials=5")
    assert [number for number, _ in jobs.launched] == [3, 4]
    assert len(study.trials) == 5


def test_batches_are_as_large_as_the_launcher_has_room(search: Search, tmp_path: Path) -> None:
    begun: list[int] = []

    def objective(settings: dict[str, str]) -> float:
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
        study = optuna.load_study(study_name="transfer_feature_extractor", storage=storage)
        begun.append(sum(trial.state == TrialState.RUNNING for trial in study.trials))
        return hill(settings)

    settings = ("launcher=submitit_local", "hydra.launcher.n_jobs=3", "sweep.n_trials=5")
    search(tmp_path, objective, *SPACE, *settings)
    assert begun == [3, 3, 3, 2, 2]


@pytest.mark.parametrize("alive", [False, True])
def test_another_process_takes_over_what_was_left(alive: bool, search: Search, tmp_path: Path) -> None:
    shared = (*SPACE, f"sweep.study={tmp_path}/shared.journal", "sweep.n_trials=6")
    search(tmp_path / "first", stopped_at(2), *shared)
    if alive:
        with FileLock(tmp_path / "first" / LOCK):
            study, jobs = search(tmp_path / "second", hill, *shared)
        assert study.trials[2].state == TrialState.RUNNING
    else:
        study, jobs = search(tmp_path / "second", hill, *shared)
        assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    trials = [3, 4, 5] if alive else [2, 3, 4, 5]
    assert [int(settings["sweep.trial"]) for _, settings in jobs.launched] == trials
    assert [number for number, _ in jobs.launched] == list(range(len(trials)))


def test_a_study_of_the_other_direction_is_refused(search: Search, tmp_path: Path) -> None:
    search(tmp_path, hill, *SPACE, "sweep.n_trials=1")
    with pytest.raises(UserError, match="maximize"):
        search(tmp_path, hill, *SPACE, "monitor.mode=min")


def test_no_value_of_a_strangers_journal_becomes_an_override(search: Search, tmp_path: Path) -> None:
    """It could name code: a trial that was begun is launched only if this search could have asked for its values."""
    search(tmp_path, stopped_at(0), *SPACE, "sweep.n_trials=1")
    journal = tmp_path / "study.journal"
    text = journal.read_text()
    journal.write_text(text.replace('\\"4\\"', '\\"{_target_:logging.FileHandler,filename:evil}\\"'))
    assert journal.read_text() != text
    with pytest.raises(UserError, match=r"study.journal: trial 0 has datamodule.batch_size="):
        search(tmp_path, hill, *SPACE, "sweep.n_trials=2")


@pytest.mark.parametrize("torn", ['{"op_code":4,"wor', "\0" * 99, "\\"])
def test_a_line_that_was_not_completed_is_dropped(torn: str, search: Search, tmp_path: Path) -> None:
    search(tmp_path, hill, *SPACE, "sweep.n_trials=1")
    with (tmp_path / "study.journal").open("a") as file:
        file.write(torn)
    for trials in (2, 3):
        study, _ = search(tmp_path, hill, *SPACE, f"sweep.n_trials={trials}")
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * trials


OF_JOB = '{"op_code":8,"worker_id":"x","trial_id":0,"user_attr":{"job":JOB}}'
OTHERS = [
    "[5]",
    '{"op_code":99}',
    "\udcff",
    "[" * 9999,
    *(OF_JOB.replace("JOB", job) for job in ("5", '{"number":-1}')),
]


@pytest.mark.parametrize("line", OTHERS)
def test_a_strangers_journal_is_refused_in_a_sentence(line: str, search: Search, tmp_path: Path) -> None:
    search(tmp_path, hill, *SPACE, "sweep.n_trials=1")
    with (tmp_path / "study.journal").open("a", errors="surrogateescape") as file:
        file.write(f"{line}\n{{}}\n")
    with pytest.raises(UserError, match=r"study.journal (is damaged|was not written)"):
        search(tmp_path, hill, *SPACE, "sweep.n_trials=2")


def test_a_sweep_that_a_journal_names_is_left_as_it_is(tmp_path: Path) -> None:
    assert not is_held(tmp_path / LOCK)
    assert not list(tmp_path.iterdir())
    with FileLock(tmp_path / LOCK):
        assert is_held(tmp_path / LOCK)
    assert not is_held(tmp_path / LOCK)


SHARED = """
import hydra, sys, time
from engine.sweep.search.optuna_sweeper import OptunaSweeper
from engine.config.resolvers import register_resolvers

@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    time.sleep(0.05)
    return float(cfg.optimizer.lr)

register_resolvers()
main()
"""


def test_processes_share_a_study(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SHARED)
    keys = ["+monitor.metric=a", "+monitor.mode=max", "+name=search", "+seed=0", "+optimizer.lr=interval(0,1)"]
    settings = [f"hydra.searchpath=[file://{ROOT}/conf]", "+sweep=optuna", "sweep.study=shared.journal", *keys]
    settings += ["sweep.n_trials=11", "hydra.job_logging.root.level=WARNING"]
    processes = [
        subprocess.Popen(
            [sys.executable, "app.py", *settings, f"hydra.sweep.dir={name}"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )
        for name in ("first", "second")
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "shared.journal")))
    trials: list[Any] = optuna.load_study(study_name="search", storage=storage).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 11
    for name in ("first", "second"):
        noted = [trial.user_attrs["job"] for trial in trials]
        jobs = [job["number"] for job in noted if job["sweep"] == str(tmp_path / name)]
        assert jobs == list(range(len(jobs)))
        assert jobs, "both take part"
