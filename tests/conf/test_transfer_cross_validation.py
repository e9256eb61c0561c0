"""experiment=transfer_cross_validation from end to end, on 28 tiny photos."""

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.errors import UserError
from engine.pages.curves import read_logged
from tests.conftest import Train

SETTINGS = ("experiment=transfer_cross_validation", "network.pretrained=false", "trainer.max_epochs=2")
FOLDS = ("features.num_folds=4", "features.num_repeats=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cross_validation")


@pytest.fixture(scope="module")
def run(folder: Path, tiny: tuple[str, ...], train_here: Train) -> Path:
    return train_here(folder, *tiny, *SETTINGS, *FOLDS)


def test_metrics(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["status"] == "completed"
    assert 0 <= metrics["val/acc_low"] <= metrics["val/acc"] <= metrics["val/acc_high"] <= 1
    assert metrics["val/acc"] == pytest.approx((metrics["val/acc_ants"] + metrics["val/acc_bees"]) / 2, abs=0.1)
    assert metrics["val/acc_std"] >= 0


def test_held_out_photos_choose_no_epoch(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["best/epoch"] == metrics["epochs"]
    assert metrics["best/val/acc"] == metrics["val/acc"]
    assert len(read_logged(run).curves["val/acc"]) == 1


def test_mistakes_are_shown(run: Path) -> None:
    assert len(EventAccumulator(str(run)).Reload().Images("val/confidently_wrong")) == 1


def test_other_folds_find_the_same_features(run: Path, folder: Path, tiny: tuple[str, ...], train_here: Train) -> None:
    before = sorted((folder / "cache" / "features").rglob("*.npy"))
    assert [file.stem for file in before] == ["train", "val"]
    train_here(folder, *tiny, *SETTINGS, "features.num_folds=7", "features.num_repeats=1")
    assert sorted((folder / "cache" / "features").rglob("*.npy")) == before


def test_more_folds_than_photos_of_a_class(folder: Path, tiny: tuple[str, ...], train_here: Train) -> None:
    with pytest.raises(UserError, match="num_folds is 15, but must be at least 2 and at most 14, the size of the"):
        train_here(folder, *tiny, *SETTINGS, "features.num_folds=15")
