"""A job of SLURM that is preempted: SIGUSR1, and the same command again. SLURM itself is a stub of `scontrol`."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests import forked
from tests.conftest import metrics_of, only_run
from tests.forked import Started
from tests.killing import curves, differences, run_through

SETTINGS = ("experiment=lenet_nll", "trainer=cpu", "callback=[plain]", "trainer.max_epochs=4", "scheduler=constant")
SLOW = ("datamodule.chunk=1", "callback.last_checkpoint.min_seconds=0")


def job(folder: Path, *overrides: str, **environment: str) -> Started:
    scontrol = folder / "bin" / "scontrol"
    if not scontrol.exists():
        scontrol.parent.mkdir(parents=True)
        scontrol.write_text(f'#!/bin/sh\necho "$@" >> {folder}/scontrol.txt\n')
        scontrol.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}
    slurm |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    return forked.start("train.py", *SETTINGS, *SLOW, *overrides, cwd=folder, environment=slurm | environment)


def preempt(process: Started, folder: Path) -> str:
    end = time.monotonic() + 60
    while not list(folder.glob("logs/*/*/checkpoints/last.ckpt")):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    return errors


def test_it_goes_on_to_the_same_bits_in_the_same_directory(tmp_path: Path) -> None:
    process = job(tmp_path)
    errors = preempt(process, tmp_path)
    assert process.returncode == 128 + signal.SIGUSR1, errors
    assert (tmp_path / "scontrol.txt").read_text() == "requeue 77\n"
    directory = only_run(tmp_path)
    assert metrics_of(directory)["status"] == "interrupted"
    assert not list(directory.rglob("hpc_ckpt*"))
    again = job(tmp_path, SLURM_RESTART_COUNT="1")
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert only_run(tmp_path) == directory
    straight, _ = run_through(tmp_path / "straight", (*SETTINGS, *SLOW))
    assert differences(straight, directory) == []
    steps = [step for step, _ in curves(directory)[":train/loss_step"]]
    assert steps == sorted(steps)


@pytest.mark.parametrize("environment", [{"SLURM_JOB_NAME": "interactive"}, {}])
def test_where_nothing_is_queued_again(environment: dict[str, str], tmp_path: Path) -> None:
    """In an interactive shell, and as the user says: the signal then does what it does to any process."""
    plugin = "{_target_: lightning_fabric.plugins.environments.SLURMEnvironment, auto_requeue: false}"
    process = job(tmp_path, *(() if environment else (f"+trainer.plugins=[{plugin}]",)), **environment)
    preempt(process, tmp_path)
    assert process.returncode == -signal.SIGUSR1
    assert not (tmp_path / "scontrol.txt").exists()
