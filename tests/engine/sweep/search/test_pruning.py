import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from engine.sweep.search.pruning import Pruning

CURVES = [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4], [0.3, 0.4, 0.5]]  # their medians are 0.2, 0.3, 0.4


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """Three complete trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    study = optuna.create_study(storage=storage, study_name="search", direction="maximize")
    for curve in CURVES:
        trial = study.ask()
        for epoch, value in enumerate(curve):
            trial.report(value, epoch)
        study.tell(trial, max(curve))
    return study


def pruning(tmp_path: Path, trial: int | None, warmup: int = 0) -> Pruning:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=warmup)
    file = str(tmp_path / "study.journal")
    return Pruning(metric="val/acc", study=file, study_name="search", trial=trial, pruner=pruner)


def train(callback: Pruning, curve: list[float], first: int = 0, is_first: bool = True, others: bool = False) -> int:
    """How many epochs a training lasts whose validations give these values."""
    strategy = SimpleNamespace(broadcast=lambda decision: decision if is_first else others)
    trainer: Any = SimpleNamespace(
        is_global_zero=is_first, strategy=strategy, sanity_checking=False, should_stop=False, callback_metrics={}
    )
    module: Any = None
    callback.on_fit_start(trainer, module)
    callback.on_validation_end(trainer, module)  # without the metric nothing is reported
    for epoch, value in enumerate(curve, start=first):
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val/acc": torch.tensor(value)}
        callback.on_validation_end(trainer, module)
        if trainer.should_stop:
            return epoch + 1 - first
    return len(curve)


def test_stops_below_the_median_of_the_others(study: optuna.Study, tmp_path: Path) -> None:
    callback = pruning(tmp_path, study.ask().number)
    assert train(callback, [0.25, 0.28, 0.5]) == 2
    assert callback.pruned
    trial = study.trials[3]
    assert trial.intermediate_values == pytest.approx({0: 0.25, 1: 0.28})
    assert trial.user_attrs == {"pruned": True}
    assert trial.state == TrialState.RUNNING, "the search ends it, which knows what became of the run"


def test_goes_on_above_the_median(study: optuna.Study, tmp_path: Path) -> None:
    callback = pruning(tmp_path, study.ask().number)
    assert train(callback, [0.25, 0.35, 0.45]) == 3
    assert not callback.pruned
    assert study.trials[3].user_attrs == {}


def test_each_trial_has_its_first_epochs(study: optuna.Study, tmp_path: Path) -> None:
    assert train(pruning(tmp_path, study.ask().number, warmup=2), [0.0, 0.0, 0.0]) == 3


def test_a_metric_that_is_no_number_is_hopeless(study: optuna.Study, tmp_path: Path) -> None:
    assert train(pruning(tmp_path, study.ask().number), [math.nan, 0.9]) == 1


def test_a_continued_run_adds_to_what_it_reported(study: optuna.Study, tmp_path: Path) -> None:
    number = study.ask().number
    train(pruning(tmp_path, number), [0.25, 0.35])
    train(pruning(tmp_path, number), [0.36, 0.45], first=1)
    assert study.trials[number].intermediate_values == pytest.approx({0: 0.25, 1: 0.35, 2: 0.45})


def test_what_was_given_up_and_killed_stays_given_up(study: optuna.Study, tmp_path: Path) -> None:
    number = study.ask().number
    train(pruning(tmp_path, number), [0.0])
    callback = pruning(tmp_path, number)
    assert train(callback, [0.9, 0.9], first=1) == 1
    assert callback.pruned


def test_processes_stop_together(study: optuna.Study, tmp_path: Path) -> None:
    number = study.ask().number
    second = pruning(tmp_path, number)
    assert train(second, [0.9, 0.9], is_first=False, others=True) == 1
    assert second.pruned
    assert study.trials[number].intermediate_values == {}


@pytest.mark.parametrize("case", ["no search", "the trial is over", "the study is gone"])
def test_without_effect(case: str, study: optuna.Study, tmp_path: Path) -> None:
    if case == "the study is gone":
        (tmp_path / "study.journal").unlink()
    callback = pruning(tmp_path, None if case == "no search" else 0)
    assert train(callback, [0.0, 0.0, 0.0, 0.0]) == 4
    assert not callback.pruned
    assert (tmp_path / "study.journal").exists() == (case != "the study is gone")
    if case == "the trial is over":
        assert study.trials[0].intermediate_values == dict(enumerate(CURVES[0]))
