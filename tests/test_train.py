"""`python train.py` as a user runs it, in a process of its own."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunTrain

EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("options", [["--help"], ["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--info", "config"]])
def test_asking_imports_no_torch_and_leaves_nothing(options: list[str], run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train(*options, cwd=tmp_path, options=("-X", "importtime"))
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "hydra" in imported
    heavy = ("torch", "torchvision", "pytorch_lightning", "lightning_fabric", "timm", "numpy", "tensorboard")
    assert not [name for name in imported if name.split(".")[0] in heavy]
    assert not list(tmp_path.iterdir())


def test_help_lists_every_experiment(run_train: RunTrain, tmp_path: Path) -> None:
    text = run_train("--help", cwd=tmp_path).stdout
    for name in EXPERIMENTS:
        assert re.search(rf"^  {name} [^?]+\?$", text, re.MULTILINE)


def test_without_stand_in_it_stops_with_one_sentence(run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train("datamodule.stand_in=false", cwd=tmp_path)
    assert done.returncode != 0
    assert "hymenoptera_data does not exist, and" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.glob("logs"))


def test_resume_of_nothing_is_one_sentence(run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train("resume=logs/none", cwd=tmp_path)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence == "resume=logs/none: there is no such run, and no other under logs/."
    assert not list(tmp_path.iterdir())
