"""`launcher=…`: the presets in real processes, with jobs that take no time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.run.config_file import usable_cores
from tests.conftest import ROOT, RunTrain

APP = """
import json, os, signal, time
from pathlib import Path
import hydra, submitit
from omegaconf import OmegaConf
from hydra.core.hydra_config import HydraConfig
from engine.config.resolvers import register_resolvers

@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    facts = {"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS"), "cwd": os.getcwd()}
    file = Path(HydraConfig.get().runtime.output_dir, "facts.json")
    started_before = file.exists()
    facts = OmegaConf.to_container(cfg) | facts | {"again": started_before}
    file.with_suffix(".partial").write_text(json.dumps(facts))
    file.with_suffix(".partial").replace(file)  # the test may read it at any moment
    if cfg.x == 20 and cfg.get("preempt") and not started_before:
        os.kill(os.getpid(), signal.SIGUSR2)  # as SLURM does some time before it takes the machine away
    time.sleep(cfg.get("seconds", 0))
    if cfg.x == 20 and cfg.get("lose"):
        os._exit(3)
    return 1.0

submitit.Job._results_timeout_s = 5  # for the result of a lost job, which may be slow to appear
register_resolvers()
main()
"""


def start(folder: Path, *overrides: str, path: Path | None = None) -> "subprocess.Popen[str]":
    """A multirun of APP."""
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "app.py", "-m", f"hydra.searchpath=[file://{ROOT}/conf]", "hydra.sweep.dir=sweep"]
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    env |= {"PYTHONPATH": str(ROOT), "PATH": f"{path}:{env['PATH']}" if path else env["PATH"]}
    outputs: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*command, *overrides], cwd=folder, env=env, **outputs)


def jobs_of(folder: Path) -> dict[int, dict[str, Any]]:
    """What each job wrote, by number."""
    files = (folder / "sweep").glob("*/facts.json")
    return {int(file.parent.name): json.loads(file.read_text()) for file in files}


def sweep(folder: Path, *overrides: str, path: Path | None = None) -> tuple[str, dict[int, dict[str, Any]]]:
    """Output of a multirun, and what its jobs wrote."""
    process = start(folder, *overrides, path=path)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output, jobs_of(folder)


def test_joblib_runs_several_jobs_at_once_and_shares_the_threads(tmp_path: Path) -> None:
    output, jobs = sweep(tmp_path, "+launcher=joblib", "hydra.launcher.n_jobs=2", "+x=10,20,30,40")
    assert {number: job["x"] for number, job in jobs.items()} == {0: 10, 1: 20, 2: 30, 3: 40}
    assert {job["threads"] for job in jobs.values()} == {str(max(1, usable_cores() // 2))}
    assert {job["cwd"] for job in jobs.values()} == {str(tmp_path)}
    assert "JoblibLauncher: 4 jobs" in output


def test_processes_are_kept_from_batch_to_batch(tmp_path: Path) -> None:
    """As a search proposes its trials; starting a process takes longer than many a trial."""
    batches = ("hydra.launcher.n_jobs=2", "hydra.sweeper.max_batch_size=2")
    _, jobs = sweep(tmp_path, "+launcher=joblib", *batches, "+x=10,20,30,40", "+seconds=1")
    assert {number: job["x"] for number, job in jobs.items()} == {0: 10, 1: 20, 2: 30, 3: 40}
    assert len({job["pid"] for job in jobs.values()}) == 2


ON_FEATURES = ("+cache=true", "+features.cache_dir=x", "+trainer.accelerator=cpu")


@pytest.mark.parametrize(
    ("settings", "processes"),
    [
        (ON_FEATURES, 2),
        ((*ON_FEATURES, "hydra.launcher.n_jobs=1"), 1),
        (("+cache=true", "+features.cache_dir=x", "+trainer.accelerator=gpu"), 1),
        (("+cache=false", *ON_FEATURES[1:]), 1),
        (("+cache=true,false", *ON_FEATURES[1:]), 1),
        ((), 1),
    ],
)
@pytest.mark.skipif(usable_cores() < 2, reason="one job at a time is all that suits one core")
def test_jobs_that_use_one_core_run_side_by_side(settings: tuple[str, ...], processes: int, tmp_path: Path) -> None:
    _, jobs = sweep(tmp_path, "+launcher=local", "+x=10,20", "+seconds=1", *settings)
    assert len({job["pid"] for job in jobs.values()}) == processes
    assert {job["threads"] for job in jobs.values()} == ({"1"} if processes == 2 else {None})


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_sweep_that_is_killed_leaves_no_job_behind(launcher: str, tmp_path: Path) -> None:
    end = time.monotonic() + 60
    with start(tmp_path, f"+launcher={launcher}", "+x=10,20", "+seconds=300") as process:
        while len(jobs_of(tmp_path)) < min(2, usable_cores()):
            assert time.monotonic() < end
            time.sleep(0.1)
        process.kill()
    pids = {job["pid"] for job in jobs_of(tmp_path).values()}
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_a_job_that_is_lost_costs_no_other(launcher: str, tmp_path: Path) -> None:
    """Whose process ends, that is; what happens to the training itself stays in a process of its own."""
    output, jobs = sweep(tmp_path, f"+launcher={launcher}", "+x=10,20,30,40", "+lose=true")
    assert {number: job["x"] for number, job in jobs.items()} == {0: 10, 1: 20, 2: 30, 3: 40}
    assert [number for number in range(4) if f"Job {number} was lost: " in output] == [1]
    assert {job["cwd"] for job in jobs.values()} == {str(tmp_path)}
    assert {job["threads"] for job in jobs.values()} == {"1"}, "as many jobs as cores"
    if launcher == "submitit_local":
        assert len(list((tmp_path / "sweep" / ".submitit").glob("*/*_result.pkl"))) == 3


def test_a_job_whose_machine_is_wanted_is_queued_again(tmp_path: Path) -> None:
    output, jobs = sweep(tmp_path, "+launcher=submitit_local", "+x=10,20", "+preempt=true")
    assert [jobs[number]["again"] for number in (0, 1)] == [False, True]
    assert "was lost" not in output


# A cluster of one machine: the script runs once for each task of its array, and srun is its command.
SBATCH = """#!/bin/sh
cp "$1" sbatch.sh
for task in 0 1 2; do
  SLURM_JOB_ID=7$task SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 \\
  SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 sh sbatch.sh >/dev/null 2>&1 &
done
echo Submitted batch job 7
"""
SRUN = """#!/bin/sh
while case "$1" in -*|*.out|*.err) true;; *) false;; esac; do shift; done
exec "$@"
"""
SACCT = """#!/bin/sh
echo 'JobID|State|NodeList'
for task in 0 1 2; do
  state=RUNNING; test -e sweep/.submitit/*/7_${task}_0_result.pkl && state=COMPLETED
  echo "7_$task|$state|node1"
done
"""


def test_slurm_is_asked_for_what_the_settings_say(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, content in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}.items():
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    parameters = "hydra.launcher.parameters"
    settings = (f"{parameters}.timeout_min=30", f"{parameters}.mem_gb=3", f"+{parameters}.slurm_partition=gpu")
    output, jobs = sweep(
        tmp_path,
        "+launcher=submitit_slurm",
        f"{parameters}.name=mine",
        *settings,
        "hydra.launcher.n_jobs=2",
        "+x=1,2,3",
        path=tools,
    )
    assert {number: job["x"] for number, job in jobs.items()} == {0: 1, 1: 2, 2: 3}
    assert "was lost" not in output
    script = (tmp_path / "sbatch.sh").read_text()
    (folder,) = (tmp_path / "sweep" / ".submitit").iterdir()
    asked = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert asked >= {
        "array=0-2%2",
        "cpus-per-task=4",
        "gpus-per-node=1",
        "job-name=mine",
        "mem=3GB",
        "partition=gpu",
        "time=30",
        f"output={folder}/%A_%a_0_log.out",
    }
    (command,) = (line for line in script.splitlines() if line.startswith("srun "))
    assert command.endswith(f"{sys.executable} -u -m submitit.core._submit {folder}")


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_the_ledger_is_kept(launcher: str, run_train: RunTrain, tmp_path: Path) -> None:
    """Of trainings; one fails."""
    settings = ("experiment=regression_adam", "trainer=cpu", "trainer.max_epochs=1", "hydra.sweep.dir=sweep")
    swept = "optimizer.lr=1e-4,1e38"
    done = run_train("-m", *settings, f"launcher={launcher}", swept, cwd=tmp_path, timeout=240)
    assert done.returncode == 1, done.stdout + done.stderr
    jobs = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["completed", "failed"]
    assert "training loss is" in jobs[1]["error"]
    assert all((tmp_path / "sweep" / job["directory"] / "metrics.json").is_file() for job in jobs)
