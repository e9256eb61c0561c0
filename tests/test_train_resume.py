"""Runs that continue from their last checkpoint, in this process."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from engine.errors import UserError
from engine.pages.curves import read_logged
from engine.training.procedure import Procedure
from tests.conftest import Train, metrics_of, only_run

SMALL = ("network=timm", "network.name=test_resnet", "network.pretrained=false")
State = dict[str, Tensor]


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[State]]:
    """The networks of the runs of a test, before and after training."""
    seen: dict[str, list[State]] = {"before": [], "after": []}

    def keep(when: str) -> Any:
        def hook(module: Procedure) -> None:
            seen[when].append({name: tensor.clone() for name, tensor in module.network.state_dict().items()})

        return hook

    monkeypatch.setattr(Procedure, "on_fit_start", keep("before"), raising=False)
    monkeypatch.setattr(Procedure, "on_fit_end", keep("after"), raising=False)
    return seen


def same(first: State, second: State, part: str = "") -> bool:
    names = [name for name in first if name.startswith(part)]
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in names)


@pytest.mark.parametrize("cache", ["true", "false"])
def test_frozen_means_frozen_and_epochs_add_up(
    cache: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path, states: dict[str, list[State]]
) -> None:
    shared = (*tiny, *SMALL, f"cache={cache}", "optimizer.lr=0.1")
    directory = train_here(tmp_path, *shared, "trainer.max_epochs=2")
    assert metrics_of(directory)["epochs"] == 2
    resumed = train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=4")
    assert resumed == directory == only_run(tmp_path)
    straight = train_here(tmp_path, *shared, "trainer.max_epochs=4")

    built = states["before"][0]
    assert any("num_batches_tracked" in name for name in built)
    for state in (*states["before"], *states["after"]):
        assert same(state, built, "backbone.")
    first, second, third = states["after"]
    assert not same(first, built, "head.")
    assert not same(first, second, "head.")
    assert same(second, third)
    metrics, expected = metrics_of(resumed), metrics_of(straight)
    for name in ("epochs", "val/loss", "val/acc", "train/loss", "best/val/acc", "best/epoch"):
        assert metrics[name] == expected[name], name
    assert list(read_logged(directory).curves["val/acc"]) == [4, 8, 12, 16]


def test_fine_tuning_resumes_to_the_same_bits(
    tiny: tuple[str, ...], train_here: Train, tmp_path: Path, states: dict[str, list[State]]
) -> None:
    shared = ("experiment=transfer_finetune", *tiny, *SMALL)
    directory = train_here(tmp_path, *shared, "trainer.max_epochs=1")
    train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=2")
    train_here(tmp_path, *shared, "trainer.max_epochs=2")
    first, second, third = states["after"]
    assert not same(first, second, "backbone.")
    assert same(second, third)


def test_every_checkpoint_loads_with_weights_only(run_dir: Path) -> None:
    checkpoints = sorted((run_dir / "checkpoints").glob("*.ckpt"))
    assert [path.name for path in checkpoints] == ["backbone.ckpt", "best.ckpt", "last.ckpt"]
    best, last = (torch.load(path, weights_only=True) for path in checkpoints[1:])
    assert last["epoch"] == 2
    assert last["global_step"] == 12
    assert best["epoch"] + 1 == metrics_of(run_dir)["best/epoch"]
    assert last["hyper_parameters"]["optimizer"]["lr"] == 0.01
    assert last["hyper_parameters"]["notices"] == []


def test_saved_config_repeats_the_run(run_dir: Path, train_here: Train, tmp_path: Path) -> None:
    config = ("--config-path", str(run_dir), "--config-name", "config")
    again = train_here(tmp_path, "hydra.run.dir=logs/again/1", "hydra.output_subdir=null", config=config)
    metrics, expected = metrics_of(again), metrics_of(run_dir)
    for name in (
        "val/loss",
        "val/acc",
        "train/loss",
        "best/val/acc",
        "best/epoch",
        "epochs",
        "seed",
        "network",
        "data",
    ):
        assert metrics[name] == expected[name], name


def test_a_moved_run_writes_where_it_lies_now(run_dir: Path, train_here: Train, tmp_path: Path) -> None:
    moved = tmp_path / "moved here"
    shutil.copytree(run_dir, moved)
    before = sorted(run_dir.rglob("*"))
    train_here(
        tmp_path, f"resume={moved}", "trainer.max_epochs=4", f"features.cache_dir={run_dir.parents[2]}/cache/features"
    )
    assert metrics_of(moved)["epochs"] == 4
    assert len(list(moved.glob("events.out.tfevents.*"))) == 2
    assert sorted(run_dir.rglob("*")) == before
    assert metrics_of(run_dir)["epochs"] == 3


def test_config_of_a_resumed_run_can_be_resumed_again(run_dir: Path, train_here: Train, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    for epochs in (4, 5):
        train_here(run_dir.parents[2], f"resume={copy}", f"trainer.max_epochs={epochs}")
        assert metrics_of(copy)["epochs"] == epochs
    assert OmegaConf.load(copy / "config.yaml").resume is None


def test_the_best_epoch_of_before_is_kept(run_dir: Path, train_here: Train, tmp_path: Path) -> None:
    """A learning rate of 0 improves nothing."""
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    best = metrics_of(run_dir)
    train_here(run_dir.parents[2], f"resume={copy}", "trainer.max_epochs=5", "optimizer.lr=0")
    metrics = metrics_of(copy)
    assert metrics["best/val/acc"] >= best["best/val/acc"]
    assert metrics["best/epoch"] == best["best/epoch"] or metrics["best/val/acc"] > best["best/val/acc"]


def test_a_complete_run_without_checkpoints_is_not_trained_again(train_here: Train, tmp_path: Path) -> None:
    short = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2")
    directory = train_here(tmp_path, *short, "callback=early_stopping", "logger=csv")
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"the run is complete and kept no last\.ckpt to continue from"):
        train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=2")
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_run_killed_before_its_first_checkpoint_starts_anew(train_here: Train, tmp_path: Path) -> None:
    short = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2")
    directory = train_here(tmp_path, *short)
    expected = metrics_of(directory)["val/loss"]
    shutil.rmtree(directory / "checkpoints")
    (directory / "metrics.json").unlink()
    train_here(tmp_path, f"resume={directory}")
    assert metrics_of(directory)["val/loss"] == expected
