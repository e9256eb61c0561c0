"""The experiments on digits: what the notes' programs and the papers promise holds in a run through train.py."""

import json
from pathlib import Path

import pytest

from tests.conftest import Train


def metrics(directory: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((directory / "metrics.json").read_text())
    return values


def test_nll_of_log_probabilities_trains_as_cross_entropy_of_logits(tmp_path: Path, train_here: Train) -> None:
    overrides = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1", "optimizer.lr=0.05")
    nll = metrics(train_here(tmp_path, *overrides))
    logits = metrics(train_here(tmp_path, *overrides, "loss=cross_entropy", "network.log_softmax=false"))
    for name in ("train/loss", "val/loss", "test/loss"):
        assert nll[name] == pytest.approx(logits[name], rel=1e-5)  # after 315 steps
    assert nll["val/loss"] < 2  # of 2.3 at the start


@pytest.mark.slow
@pytest.mark.parametrize(("name", "accuracy"), [("lenet_nll", 0.97), ("lenet_mse", 0.95)])
def test_lenet_reads_held_out_digits(name: str, accuracy: float, tmp_path: Path, train_here: Train) -> None:
    assert metrics(train_here(tmp_path, f"experiment={name}", "trainer=cpu"))["test/acc"] >= accuracy


@pytest.mark.slow
def test_mmd_beats_the_source_alone_on_the_target(tmp_path: Path, train_here: Train) -> None:
    overrides = ("experiment=domain_adaptation_mmd", "trainer=cpu")
    adapted = metrics(train_here(tmp_path, *overrides))
    alone = metrics(train_here(tmp_path, *overrides, "lightning_module.weight=0"))
    assert adapted["test/acc"] >= alone["test/acc"] + 0.05
