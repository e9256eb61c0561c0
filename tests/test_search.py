"""`sweep=optuna` over trainings, stopped half-way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.conftest import ROOT, RunTrain, metrics_of


def test_a_search_over_trainings_is_killed_and_resumed(run_train: RunTrain, tmp_path: Path) -> None:
    """With a learning rate of 1e-12 the loss stays where it was: such runs are given up as soon as they may be."""
    pruner = ("sweep.pruner.n_startup_trials=1", "sweep.pruner.n_warmup_steps=1")
    settings = ("sweep=optuna", "optimizer.lr=1e-3,1e-12", "sweep.n_trials=7", *pruner, "hydra.sweep.dir=sweep")
    settings = ("experiment=regression_adam", "trainer=cpu", *settings)
    command = [sys.executable, str(ROOT / "train.py"), "-m", *settings]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("sweep/*/metrics.json"))) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = run_train("-m", "sweep.resume=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    storage = JournalStorage(JournalFileBackend(str(tmp_path / "sweep" / "study.journal")))
    trials = optuna.load_study(study_name="regression_adam", storage=storage).trials
    trials = [trial for trial in trials if "job" in trial.user_attrs]  # not one that was killed while it was asked for
    jobs = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"]
    assert [trial.user_attrs["job"]["number"] for trial in trials] == [job["number"] for job in jobs] == list(range(7))
    states = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    assert [trial.state for trial in trials] == [states[job["status"]] for job in jobs]
    assert {job["status"] for job in jobs} == set(states)
    for trial, job in zip(trials, jobs, strict=True):
        metrics = metrics_of(tmp_path / "sweep" / job["directory"])
        assert metrics["status"] == job["status"]
        if trial.params["optimizer.lr"] == "0.001":
            assert job["status"] == "completed"
        assert metrics["epochs"] == (2 if job["status"] == "pruned" else 10)
        assert len(trial.intermediate_values) == metrics["epochs"]
