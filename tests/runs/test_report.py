from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from runs.report import notices, print_end, print_start


def config(**network: Any) -> DictConfig:
    cfg: DictConfig = OmegaConf.create(
        {"name": "mine", "seed": 4, "network": {"_target_": "networks.lenet.LeNet", **network}}
    )
    return cfg


def test_nothing_to_notice() -> None:
    for source in ("official", "local"):
        assert notices(config(), source) == []


def test_notices() -> None:
    data, weights = notices(config(substitute_for="resnet18"), "stand-in")
    assert data.startswith("STAND-IN DATA")
    assert weights.startswith("SUBSTITUTE WEIGHTS: lenet takes the place of resnet18")


def record(directory: Path, **network: Any) -> Any:
    metrics = {
        "val/acc": 0.91234,
        "train/images_per_second": 12345.6,
        "best/val/acc": None,
        "best/epoch": 3,
        "epochs": 5,
    }
    data = {"name": "hymenoptera", "source": "stand-in"}
    return SimpleNamespace(
        cfg=config(**network), directory=directory, metrics=metrics, data=data, is_first_process=True
    )


def test_start_says_what_runs_on_what(capsys: pytest.CaptureFixture[str]) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(99, 10), torch.nn.Linear(10, 2))
    network[0].requires_grad_(False)
    device = torch.device("cpu")
    trainer = SimpleNamespace(num_devices=2, strategy=SimpleNamespace(root_device=device), precision="bf16-mixed")
    datamodule = SimpleNamespace(name="hymenoptera", source="stand-in", counts=lambda: {"train": 1244, "val": 153})
    directory = Path("/elsewhere/a run")
    print_start(record(directory, substitute_for="resnet18"), datamodule, SimpleNamespace(network=network), trainer)
    shown = capsys.readouterr().out
    for text in (
        "mine, seed 4",
        "lenet: 22 of 1,022 parameters trained",
        "hymenoptera (stand-in): 1,244 train, 153 val",
        "2 × cpu, bf16-mixed",
        "tensorboard --logdir '/elsewhere/a run'",
        "STAND-IN DATA",
        "SUBSTITUTE WEIGHTS: lenet takes the place of resnet18",
    ):
        assert text in shown


def test_end_says_how_it_went_and_repeats_the_notices(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    print_end(record(tmp_path / "logs" / "run"))
    shown = capsys.readouterr().out
    for text in ("mine: done", "0.9123", "12,346", "python train.py resume=logs/run", "STAND-IN DATA"):
        assert text in shown


def test_the_other_processes_say_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = record(tmp_path)
    other.is_first_process = False
    print_start(other, None, None, None)
    print_end(other)
    assert capsys.readouterr().out == ""
