"""`datamodule.balance` in whole runs."""

import shutil
from pathlib import Path

import pytest
import yaml

from engine.errors import UserError
from tests.conftest import Train, metrics_of

SMALL = ("network=timm", "network.name=test_resnet", "network.pretrained=false")


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def unbalanced(data_dir: Path, tmp_path: Path) -> str:
    root = tmp_path / "data" / "hymenoptera_data"
    shutil.copytree(data_dir / "hymenoptera_data", root)
    for file in sorted((root / "train/bees").glob("*.jpg"))[2:]:
        file.unlink()
    return f"datamodule.data_dir={tmp_path / 'data'}"


@pytest.mark.parametrize("experiment", ["transfer_feature_extractor", "transfer_finetune", "transfer_cross_validation"])
def test_sampler(experiment: str, unbalanced: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    settings = (*tiny, *SMALL, f"experiment={experiment}", unbalanced)
    if experiment == "transfer_cross_validation":
        settings = (*settings, "features.num_folds=2", "features.num_repeats=1")
    losses = {}
    for balance in ("none", "sampler"):
        directory = train_here(
            made(tmp_path / balance), *settings, f"datamodule.balance={balance}", "trainer.max_epochs=1"
        )
        losses[balance] = metrics_of(directory)["train/loss"]
    assert losses["none"] != losses["sampler"]


def test_weights_are_in_the_config(unbalanced: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    settings = (*tiny, *SMALL, unbalanced, "datamodule.balance=weights", "trainer.max_epochs=2")
    whole = train_here(made(tmp_path / "whole"), *settings)
    config = yaml.safe_load((whole / "config.yaml").read_text())
    assert config["loss"]["weight"] == [0.625, 2.5]
    half = train_here(made(tmp_path / "half"), *settings, "trainer.max_epochs=1")
    train_here(made(tmp_path / "half"), f"resume={half}", "trainer.max_epochs=2")
    assert metrics_of(half)["epochs"] == 2
    same = train_here(made(tmp_path / "same"), *settings)
    assert metrics_of(same)["val/loss"] == metrics_of(whole)["val/loss"]


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("loss=one_hot_mse", "OneHotMSELoss takes no class weights: give balance=sampler"),
        ("+loss.weight=[1,2]", "sets loss.weight, which is given too"),
    ],
)
def test_weights_that_cannot_be(
    loss: str, says: str, unbalanced: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        train_here(tmp_path, *tiny, *SMALL, unbalanced, "datamodule.balance=weights", loss)
