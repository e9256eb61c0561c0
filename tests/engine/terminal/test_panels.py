from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from engine.paths import command
from engine.terminal.panels import MAX_CLASSES, notices, print_end, print_start


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
    assert weights.startswith("SUBSTITUTE WEIGHTS: lenet replaces resnet18")


METRICS = {
    "val/acc": 0.91234,
    "val/acc_ants": 0.875,
    "val/acc_bees": 0.94,
    "val/loss": 0.2,
    "train/loss": 0.125,
    "train/images_per_second": 12345.6,
    "images_per_second": 9876.5,
    "best/val/acc": 0.95,
    "best/epoch": 3,
    "epochs": 5,
}
BEST = {"val/acc": 0.95, "val/acc_ants": 0.8125, "val/acc_bees": 0.9875, "val/loss": 0.25, "train/loss": 0.5}


def record(directory: Path, classes: tuple[str, ...] = ("ants", "bees"), **network: Any) -> Any:
    trainer = SimpleNamespace(
        datamodule=SimpleNamespace(classes=classes),
        lightning_module=SimpleNamespace(logged_before=BEST),
        checkpoint_callbacks=["best_checkpoint"],
    )
    return SimpleNamespace(
        cfg=config(**network),
        directory=directory,
        metrics=dict(METRICS),
        data={"name": "hymenoptera", "source": "official"},
        is_first_process=True,
        resume=None,
        stopped=None,
        best_was_selected=True,
        trainer=trainer,
        seconds=75.4,
    )


def test_start_says_what_runs_on_what(capsys: pytest.CaptureFixture[str]) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(99, 10), torch.nn.Linear(10, 2))
    network[0].requires_grad_(False)
    device = torch.device("cpu")
    trainer = SimpleNamespace(
        callbacks=[], num_devices=2, strategy=SimpleNamespace(root_device=device), precision="bf16-mixed"
    )
    datamodule = SimpleNamespace(name="hymenoptera", source="stand-in", counts=lambda: {"train": 1244, "val": 153})
    directory = Path("/elsewhere/a run")
    print_start(record(directory, substitute_for="resnet18"), datamodule, network, trainer)
    shown = capsys.readouterr().out
    for text in (
        "mine, seed 4",
        "lenet: 22 parameters trained, 1,000 frozen",
        "hymenoptera (stand-in): 1,244 train, 153 val",
        "2 × cpu, bf16-mixed",
        "directory   /elsewhere/a run",
        "tensorboard --logdir '/elsewhere/a run'",
        "STAND-IN DATA",
        "SUBSTITUTE WEIGHTS: lenet replaces resnet18",
    ):
        assert text in shown


def test_start_says_if_one_batch_is_all(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = SimpleNamespace(
        callbacks=[], num_devices=1, strategy=SimpleNamespace(root_device=torch.device("cpu")), precision="32"
    )
    for size, says in ((2000, True), (4, False)):
        data = SimpleNamespace(name="mine", source="local", counts=lambda: {"train": 1244}, batch_size=size)
        print_start(record(Path("/run")), data, torch.nn.Linear(1, 1), trainer)
        shown = capsys.readouterr().out
        assert ("one batch of 2,000" in shown) == says


def cells(shown: str, first: str) -> list[str]:
    """Of the first line that starts with `first`, what else is in it."""
    lines = [line.strip("│ \n").split() for line in shown.splitlines()]
    return next(line[1:] for line in lines if line[:1] == [first])


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`ended(changes of the record)` gives what print_end prints."""
    monkeypatch.chdir(tmp_path)

    def show(**changes: Any) -> str:
        ending = record(tmp_path / "logs" / "run")
        (tmp_path / "logs" / "run" / "checkpoints").mkdir(parents=True, exist_ok=True)
        (tmp_path / "logs" / "run" / "checkpoints" / "last.ckpt").touch()
        vars(ending).update(changes)
        print_end(ending)
        return capsys.readouterr().out

    return show


def test_end_has_a_table_of_the_last_and_the_best_epoch(ended: Any) -> None:
    shown = ended()
    assert "mine: done" in shown
    header = " ".join(cells(shown, "metric"))
    assert header == "train, epoch 5 val, epoch 5 val, best: epoch 3"
    assert cells(shown, "loss") == ["0.125", "0.2", "0.25"]
    assert cells(shown, "acc") == ["0.9123", "0.95"], "the training had none"
    assert "5 epochs in 0:01:15, 9,876 examples per second" in shown


def test_each_class_has_a_row_of_the_best_epoch(ended: Any) -> None:
    shown = ended()
    assert "acc of class  val, best: epoch 3" in shown
    assert (cells(shown, "ants"), cells(shown, "bees")) == (["0.8125"], ["0.9875"])


def test_the_last_epoch_may_be_the_best(ended: Any) -> None:
    shown = ended(metrics=METRICS | {"best/epoch": 5})
    assert "val, epoch 5 (best)" in shown
    assert cells(shown, "loss") == ["0.125", "0.2"]
    assert cells(shown, "ants") == ["0.875"]


def test_a_test_has_columns_of_its_own(ended: Any) -> None:
    shown = ended(metrics=METRICS | {"test/acc": 0.5, "test/acc_ants": 0.25, "test/acc_bees": 0.75})
    assert cells(shown, "acc") == ["0.9123", "0.95", "0.5"]
    assert cells(shown, "ants") == ["0.8125", "0.25"]


def test_several_metrics_a_class(ended: Any) -> None:
    shown = ended(metrics=METRICS | {"best/epoch": 5, "val/f1_ants": 0.5, "val/f1_bees": 0.75})
    assert "acc: val, epoch 5 (best)  f1: val, epoch 5 (best)" in shown
    assert cells(shown, "bees") == ["0.94", "0.75"]


def test_of_many_classes_the_worst_are_shown(ended: Any) -> None:
    classes = tuple(f"c{number}" for number in range(100))
    values = {f"val/acc_c{number}": 1 - number / 100 for number in range(100)}
    trainer = SimpleNamespace(datamodule=SimpleNamespace(classes=classes), checkpoint_callbacks=[])
    shown = ended(metrics={"epochs": 5, "best/epoch": 5, "images_per_second": None} | values, trainer=SimpleNamespace(
        **vars(trainer), lightning_module=SimpleNamespace(logged_before={})
    ))  # fmt: skip
    assert cells(shown, "c99") == ["0.01"]
    assert sum(line.strip("│ ").startswith("c") for line in shown.splitlines()) == MAX_CLASSES
    assert "the 20 lowest of 100 classes" in shown


def test_a_run_without_classes_or_a_best_epoch(ended: Any) -> None:
    trainer = SimpleNamespace(datamodule=SimpleNamespace(), lightning_module=None, checkpoint_callbacks=[])
    metrics = {"val/loss": "inf", "epochs": 2, "best/val/loss": None, "best/epoch": None, "images_per_second": 1e3}
    shown = ended(metrics=metrics, trainer=trainer)
    assert cells(shown, "loss") == ["inf"]
    assert "of class" not in shown
    assert "predict" not in shown


def test_end_names_the_next_commands_each_in_one_line(ended: Any) -> None:
    shown = ended()
    for line in (
        "tensorboard --logdir logs/run",
        f"{command('evaluate.py')} run=logs/run",
        f"{command('predict.py')} run=logs/run input=PHOTOS",
        f"{command('export.py')} run=logs/run format=onnx",
        f"{command('train.py')} resume=logs/run trainer.max_epochs=10",
    ):
        assert f"{line} " in shown
    assert "resume=" not in ended(directory=Path("logs", "another")), "nothing was saved there"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_long_command_stays_in_one_line(
    is_terminal: bool, ended: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside the panel if it must be, where no border gets into the way."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1" if is_terminal else "")
    directory = tmp_path / "logs" / ("run" * 20)
    lines = [line.strip("│ ") for line in ended(directory=directory).splitlines()]
    long = f"{command('predict.py')} run=logs/{'run' * 20} input=PHOTOS"
    assert (long in lines) == is_terminal
    assert any(line.endswith(long) for line in lines)


def test_end_repeats_the_notices(ended: Any) -> None:
    assert "STAND-IN DATA" in ended(data={"name": "hymenoptera", "source": "stand-in"})
    assert "notice" not in ended()


def test_the_other_processes_say_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = record(tmp_path)
    other.is_first_process = False
    print_start(other, None, None, None)
    print_end(other)
    assert capsys.readouterr().out == ""
