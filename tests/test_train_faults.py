"""A disk that fails, at any write: the run ends in one sentence and not with 0, and leaves nothing half done."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CALLS = {"open": 24, "write": 26, "fsync": 20, "replace": 20, "mkdir": 6, "link": 3}
"""How many a run makes, nearly."""

ERRORS = ("EIO", "ENOSPC", "EMFILE", "ESTALE")
RUN = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=0.2", "seed=1")
RUN = (*RUN, "callback.last_checkpoint.min_seconds=0", "logger=[tensorboard,csv]")


def run(folder: Path, call: str, number: int, error: str, *, lasts: bool) -> "subprocess.CompletedProcess[str]":
    (folder / "site").mkdir()
    shutil.copy(ROOT / "tests" / "faults.py", folder / "site" / "sitecustomize.py")
    fault = {"FAULT_CALL": call, "FAULT_NUMBER": str(number), "FAULT_ERROR": error}
    fault |= {"FAULT_LASTS": "1"} if lasts else {}
    places = {"FAULT_BELOW": str(folder / "logs"), "PYTHONPATH": str(folder / "site")}
    command = [sys.executable, str(ROOT / "train.py"), *RUN, f"hydra.run.dir={folder}/logs/run"]
    environment = {**os.environ, **fault, **places, "COLUMNS": "160"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def fails_in_one_sentence(folder: Path, call: str, number: int, error: str, *, lasts: bool) -> None:
    done = run(folder, call, number, error, lasts=lasts)
    directory = folder / "logs" / "run"
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    assert not [path for path in directory.rglob("*.partial*") if path.is_file()]
    if done.returncode == 0:  # as without report.html, or without a hard link, where there is another way
        assert json.loads((directory / "metrics.json").read_text())["status"] == "completed"
    else:
        assert done.stderr.endswith(".\n"), done.stderr


@pytest.mark.parametrize(
    ("call", "number", "error", "lasts"),
    [
        ("write", 1, "ENOSPC", False),  # Hydra's own
        ("mkdir", 1, "EIO", False),
        ("open", 1, "EMFILE", True),  # the log
        ("write", 7, "ENOSPC", True),  # TensorBoard's
        ("fsync", 5, "EIO", False),  # a checkpoint
        ("replace", 9, "ESTALE", True),
        ("link", 1, "EIO", True),
        ("write", 26, "EIO", False),  # the report
    ],
)
def test_a_disk_that_fails(call: str, number: int, error: str, lasts: bool, tmp_path: Path) -> None:
    fails_in_one_sentence(tmp_path, call, number, error, lasts=lasts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_a_disk_that_fails_anywhere(seed: int, tmp_path: Path) -> None:
    draw, call = random.Random(seed), list(CALLS)[seed % len(CALLS)]
    number, error = draw.randint(1, CALLS[call]), draw.choice(ERRORS)
    fails_in_one_sentence(tmp_path, call, number, error, lasts=draw.random() < 0.5)
