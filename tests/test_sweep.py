"""Sweeps as a user runs them: real processes, real signals."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.wording import rounded
from tests.conftest import ROOT, RunTrain, metrics_of

QUICK = ("experiment=regression_two_layer_net", "trainer=cpu", "trainer.max_epochs=6")
ACCIDENT = "callback.accident"
ACCIDENTS = (
    f"+{ACCIDENT}._target_=tests.sweep_accidents.Accident",
    f"+{ACCIDENT}.seed=${{seed}}",
    *(f"+{ACCIDENT}.raises=3", f"+{ACCIDENT}.exits=5", f"+{ACCIDENT}.killed=8"),
)
HOLD = ("+callback.hold._target_=tests.sweep_accidents.Hold", "+callback.hold.seed=${seed}", "+callback.hold.held=1")


def sweep_of(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The directory of the one sweep in `folder`, and its sweep.json."""
    (directory,) = (file.parent for file in folder.glob("logs/*/*/sweep.json"))
    return directory, json.loads((directory / "sweep.json").read_text())


def wait_for(condition: Callable[[], object], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.05)


def figures(sweep: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What must be the same to the bit in two sweeps."""
    return [(job["number"], job["overrides"], job["best"], job["final"], job["epochs"]) for job in sweep["jobs"]]


@pytest.fixture(scope="module")
def sweep_with_accidents(run_train: RunTrain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("accidents")
    return folder, run_train("-m", *QUICK, *ACCIDENTS, "seed=range(12)", cwd=folder)


def test_a_job_that_raises_exits_or_is_killed_costs_itself_alone(sweep_with_accidents: tuple[Path, Any]) -> None:
    folder, done = sweep_with_accidents
    assert done.returncode == 1, done.stderr
    directory, sweep = sweep_of(folder)
    reasons = {
        3: "ValueError: this seed is not liked",
        5: "SystemExit: 3",
        8: "killed by SIGKILL",
    }
    for job in sweep["jobs"]:
        number = job["number"]
        assert job["overrides"] == {"seed": number}
        assert job["status"] == ("failed" if number in reasons else "completed")
        assert job["error"] == reasons.get(number)
        assert metrics_of(directory / job["directory"])["status"] == job["status"]
        assert (job["best"] is None or job["best"] > 0) if number in reasons else job["epochs"] == 6
    assert [job["number"] for job in sweep["jobs"]] == list(range(12))
    with (directory / "sweep.csv").open(newline="") as file:
        assert [(row["seed"], row["status"]) for row in csv.DictReader(file)] == [
            (str(job["number"]), job["status"]) for job in sweep["jobs"]
        ]


def test_the_terminal_has_a_line_a_job_and_the_report(sweep_with_accidents: tuple[Path, Any]) -> None:
    folder, done = sweep_with_accidents
    directory, sweep = sweep_of(folder)
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines if re.match(r" *\d+/12 ", line)] == [
        [f"{number + 1}/12", f"{number:03}_seed-{number}"] for number in range(12)
    ]
    assert "12 jobs: 9 completed, 3 failed" in done.stdout
    (group,) = sweep["groups"]
    assert group["n"] == 9
    assert rounded(group["mean"], group["std"]) in done.stdout
    (repeat,) = (line.removeprefix("repeat the best").strip() for line in lines if line.startswith("repeat the best"))
    best = min((job for job in sweep["jobs"] if job["status"] == "completed"), key=lambda job: job["best"])
    assert repeat == best["command"].replace("train.py", f"{ROOT}/train.py", 1)
    assert repeat.endswith(f"seed={best['number']}")
    assert (directory / "sweep.html").is_file()
    assert "Traceback" not in done.stdout + done.stderr


def test_a_jobs_log_has_its_output_and_its_traceback(sweep_with_accidents: tuple[Path, Any]) -> None:
    directory, sweep = sweep_of(sweep_with_accidents[0])
    log = (directory / sweep["jobs"][3]["directory"] / "train.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert 'raise ValueError("this seed is\\nnot liked")' in log
    assert "regression_two_layer_net: done" in (directory / sweep["jobs"][4]["directory"] / "train.log").read_text()


def test_failed_jobs_are_repeated_and_the_others_are_not(
    sweep_with_accidents: tuple[Path, Any], run_train: RunTrain
) -> None:
    """Without the accidents now: the other jobs' figures, and their logs, must be those of before.

    A `_target_` must be given again: a sweep's directory may be a stranger's, and name no code.
    """
    folder, _ = sweep_with_accidents
    directory, before = sweep_of(folder)
    logs = {job["number"]: (directory / job["directory"] / "train.log").read_bytes() for job in before["jobs"]}
    harmless = [*ACCIDENTS[:2], *(f"+{ACCIDENT}.{what}=-1" for what in ("raises", "exits", "killed"))]
    done = run_train("-m", f"sweep.resume={directory.relative_to(folder)}", *harmless, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    _, after = sweep_of(folder)
    assert {job["status"] for job in after["jobs"]} == {"completed"}
    assert {job["error"] for job in after["jobs"]} == {None}
    for old, new in zip(before["jobs"], after["jobs"], strict=True):
        log = (directory / new["directory"] / "train.log").read_bytes()
        if old["status"] == "completed":
            assert new | {"command": None} == old | {"command": None}
            assert log == logs[old["number"]]
        else:
            assert new["epochs"] == 6
            assert len(list((directory / new["directory"]).glob("events.out.tfevents.*"))) == 1


@pytest.fixture(scope="module")
def straight(run_train: RunTrain, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A sweep of three jobs without accidents."""
    folder = tmp_path_factory.mktemp("straight")
    run_train("-m", *QUICK, "seed=0,1,2", cwd=folder)
    return sweep_of(folder)[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_was_stopped_goes_on_to_the_same_figures(
    number: signal.Signals, straight: dict[str, Any], run_train: RunTrain, tmp_path: Path
) -> None:
    """Stopped in the second of three jobs, in its fourth epoch."""
    hold = tmp_path / "hold"
    hold.touch()
    held = (*HOLD, f"+callback.hold.file={hold}", "callback.last_checkpoint.min_seconds=0")
    command = [sys.executable, str(ROOT / "train.py"), "-m", *QUICK, *held, "seed=0,1,2"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: hold.read_text(), "the second job's fourth epoch")
    worker = int(hold.read_text())
    directory, sweep = sweep_of(tmp_path)
    assert [job["status"] for job in sweep["jobs"]] == ["completed", "running", "missing"]
    process.send_signal(number)
    if number != signal.SIGKILL:
        hold.unlink()  # it obeys between batches
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the worker's end", 10)
    hold.unlink(missing_ok=True)
    _, sweep = sweep_of(tmp_path)
    if number != signal.SIGKILL:
        assert [job["status"] for job in sweep["jobs"]] == ["completed", "interrupted", "missing"]
        assert f"resume           python {ROOT}/train.py -m sweep.resume={directory.relative_to(tmp_path)}" in output

    done = run_train(f"sweep.resume={directory}", *held, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    _, resumed = sweep_of(tmp_path)
    assert [job["status"] for job in resumed["jobs"]] == ["completed"] * 3
    assert resumed["jobs"][0]["seconds"] == sweep["jobs"][0]["seconds"], "not run again"
    second = directory / "001_seed-1"
    assert len(list(second.glob("events.out.tfevents.*"))) == 2, "it resumed instead of starting over"
    assert figures(resumed) == figures(straight)


def test_seeds_compare_two_settings(straight: dict[str, Any], run_train: RunTrain, tmp_path: Path) -> None:
    """The same seeds on both sides; and no -m, which the preset stands for."""
    done = run_train("sweep=seeds", "sweep.n=3", *QUICK, "optimizer=gradient_descent,adam", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    _, sweep = sweep_of(tmp_path)
    assert sorted((job["overrides"]["optimizer"], job["overrides"]["seed"]) for job in sweep["jobs"]) == [
        (name, seed) for name in ("adam", "gradient_descent") for seed in range(3)
    ]
    better, worse = sweep["groups"]
    assert better["mean"] < worse["mean"]
    assert better["difference"] is None
    low, high = worse["difference"]["interval"]
    assert low < worse["difference"]["mean"] < high
    assert worse["difference"]["mean"] == pytest.approx(worse["mean"] - better["mean"])
    assert f"{rounded(worse['difference']['mean'], (high - low) / 2, '+')} [" in done.stdout
    assert all("sweep" not in job["command"] for job in sweep["jobs"])
    alone = {job["overrides"]["seed"]: job["best"] for job in straight["jobs"]}
    (usual,) = (group for group in sweep["groups"] if group["overrides"] == {"optimizer": "gradient_descent"})
    assert {sweep["jobs"][n]["overrides"]["seed"]: sweep["jobs"][n]["best"] for n in usual["jobs"]} == alone


def test_what_a_sweep_refuses(sweep_with_accidents: tuple[Path, Any], run_train: RunTrain, tmp_path: Path) -> None:
    folder, _ = sweep_with_accidents
    directory, before = sweep_of(folder)
    nothing = run_train("-m", f"sweep.resume={tmp_path}", cwd=tmp_path)
    assert (nothing.returncode, nothing.stderr.splitlines()) == (
        1,
        [f"sweep.resume={tmp_path}: there is no sweep.json; give the directory of a sweep."],
    )
    elsewhere = run_train("-m", f"sweep.resume={directory}", cwd=tmp_path)
    assert elsewhere.returncode == 1
    assert f"the sweep was started in {folder}" in elsewhere.stderr
    again = run_train("-m", *QUICK, "seed=7", f"hydra.sweep.dir={directory}", cwd=folder)
    assert again.returncode == 1
    assert (
        f"There is already a sweep in this directory; to continue it: python {ROOT}/train.py -m sweep.resume="
        in again.stderr
    )
    other = run_train("-m", f"sweep.resume={directory}", *ACCIDENTS, "seed=5,6", cwd=folder)
    assert other.returncode == 1
    assert "Job 0 of " in other.stderr
    assert sweep_of(folder) == (directory, before)


def test_two_processes_do_not_run_one_sweep(run_train: RunTrain, tmp_path: Path) -> None:
    """The first one is stopped by SIGTERM then."""
    hold = tmp_path / "hold"
    hold.touch()
    held = (*HOLD, f"+callback.hold.file={hold}")
    command = [sys.executable, str(ROOT / "train.py"), "-m", *QUICK, *held, "seed=1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_for(lambda: hold.read_text(), "the job's fourth epoch")
    directory, _ = sweep_of(tmp_path)
    second = run_train("-m", f"sweep.resume={directory}", *held, cwd=tmp_path)
    process.terminate()
    hold.unlink()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert sweep_of(tmp_path)[1]["jobs"][0]["status"] == "interrupted"
    assert second.returncode == 1
    assert "is running, in another process" in second.stderr


def test_stand_in_runs_are_renamed_and_found(run_train: RunTrain, tmp_path: Path) -> None:
    drawn = "datamodule._target_=tests.sweep_accidents.DrawnDataModule"
    done = run_train("-m", *QUICK, drawn, "seed=0,1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    directory, sweep = sweep_of(tmp_path)
    assert [job["directory"] for job in sweep["jobs"]] == ["000_seed-0_stand-in", "001_seed-1_stand-in"]
    (directory / "001_seed-1_stand-in" / "metrics.json").unlink()  # as a kill would leave it
    again = run_train("-m", f"sweep.resume={directory}", drawn, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert figures(sweep_of(tmp_path)[1]) == figures(sweep)
    names = {path.name for path in directory.iterdir() if path.is_dir()}
    assert names == {"000_seed-0_stand-in", "001_seed-1_stand-in"}


def test_tensorboard_has_a_column_for_each_swept_key(sweep_with_accidents: tuple[Path, Any]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    directory, _ = sweep_of(sweep_with_accidents[0])
    events = EventAccumulator(str(directory / "004_seed-4")).Reload()
    contents = events.summary_metadata
    start = HParamsPluginData.FromString(contents["_hparams_/session_start_info"].plugin_data.content)
    assert start.session_start_info.hparams["seed"].number_value == 4
    content = HParamsPluginData.FromString(contents["_hparams_/experiment"].plugin_data.content)
    assert [info.name for info in content.experiment.hparam_infos if info.differs] == ["seed"]
    metrics = [info.name.tag for info in content.experiment.metric_infos]
    assert sorted(metrics) == ["curves/train/loss", "curves/val/loss", "result/best/val/loss"]
    assert set(metrics) <= set(events.Tags()["scalars"]), "no column is empty"


def test_a_job_of_two_processes_is_one_job(run_train: RunTrain, tmp_path: Path) -> None:
    """Lightning starts the second one by the command line, which must be the job's own; the next job is alone again."""
    settings = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=1")
    done = run_train("-m", *QUICK[:1], *settings, "trainer.devices=2,1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    directory, sweep = sweep_of(tmp_path)
    assert [(job["status"], job["epochs"]) for job in sweep["jobs"]] == [("completed", 1)] * 2
    logs = [(directory / job["directory"] / "train.log").read_text() for job in sweep["jobs"]]
    assert ["MEMBER: 2/2" in log for log in logs] == [True, False]
    assert [log.count("regression_two_layer_net: done") for log in logs] == [1, 1]
