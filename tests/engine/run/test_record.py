import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from engine.errors import UserError
from engine.run import record as module
from engine.run.config_file import save_config
from engine.run.record import Record, collect_metrics, git_commit, restore_best
from tests.conftest import Compose


@pytest.fixture
def cfg(compose: Compose, tmp_path: Path) -> DictConfig:
    directory = tmp_path / "logs" / "2030"
    directory.mkdir(parents=True)
    return compose("experiment=transfer_finetune", "seed=3", f"datamodule.data_dir={tmp_path}/data", run_dir=directory)


def metrics_of(record: Record) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((record.directory / "metrics.json").read_text())
    return content


def test_completed(cfg: DictConfig) -> None:
    with Record(cfg) as record:
        record.name_data("hymenoptera", "official")
        record.metrics = {"val/acc": 0.5, "epochs": 3}
    written = metrics_of(record)
    assert written.pop("seconds") >= 0
    assert written == {
        "status": "completed",
        "format": 2,
        "experiment": "transfer_finetune",
        "name": "transfer_finetune",
        "tags": [],
        "notes": None,
        "val/acc": 0.5,
        "epochs": 3,
        "data": {"name": "hymenoptera", "source": "official"},
        "network": {"name": "resnet18", "substitute_for": None},
        "seed": 3,
        "git": git_commit(),
        "torch": version("torch"),
        "lightning": version("pytorch-lightning"),
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("no: such"), "failed"), (KeyboardInterrupt(), "interrupted"), (SystemExit(3), "failed")],
)
def test_failure_is_told_and_goes_on(error: BaseException, status: str, cfg: DictConfig) -> None:
    record = Record(cfg)
    with pytest.raises(type(error)), record:
        raise error
    written = metrics_of(record)
    assert written["status"] == status
    assert written["error"] == f"{type(error).__name__}: {error}"
    assert {"seconds", "data", "network", "seed", "git", "torch", "lightning"} < written.keys()


def test_only_the_first_process_writes(cfg: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "NODE_RANK"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            with Record(cfg) as record:
                save_config(cfg)
        assert not list(record.directory.iterdir())


def test_stand_in_run_is_renamed_and_hydra_knows(cfg: DictConfig, tmp_path: Path) -> None:
    with Record(cfg) as record:
        record.name_data("hymenoptera", "stand-in")
        save_config(cfg)
    renamed = tmp_path / "logs" / "2030_stand-in"
    assert record.directory == renamed
    assert not (tmp_path / "logs" / "2030").exists()
    assert (renamed / "metrics.json").is_file()
    assert str(renamed) == cfg.run_dir == HydraConfig.get().runtime.output_dir == HydraConfig.get().run.dir
    assert cfg.trainer.default_root_dir == str(renamed)
    record.name_data("hymenoptera", "stand-in")
    assert record.directory == renamed, "once"


def test_resumed_run_does_not_go_over_to_stand_in_data(cfg: DictConfig) -> None:
    save_config(cfg)
    cfg.resume = cfg.run_dir
    last = Path(cfg.run_dir, "checkpoints", "last.ckpt")
    record = Record(cfg)
    record.checkpoint = last
    with pytest.raises(UserError, match=r"resume=.*: the run used real data, .* give datamodule.data_dir=DIR"):
        record.name_data("hymenoptera", "stand-in")


def test_a_run_that_saved_nothing_may_go_over_to_stand_in_data(cfg: DictConfig) -> None:
    save_config(cfg)
    cfg.resume = cfg.run_dir
    record = Record(cfg)
    assert record.checkpoint is None
    record.name_data("hymenoptera", "stand-in")
    assert record.directory.name == "2030_stand-in"
    assert record.resume is not None
    assert record.resume.directory == record.directory, "where its config and its curves are written"


def test_git_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(module, "__file__", str(tmp_path / "runs" / "record.py"))
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.strip()
    ask = git_commit.__wrapped__  # which a process does once
    assert ask() == head
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    assert ask() is None


def test_collect_metrics_keeps_the_named_ones() -> None:
    values = {"val/acc": torch.tensor(0.5), "train/loss": torch.tensor(float("nan")), "step": torch.tensor(7.0)}
    trainer = SimpleNamespace(callback_metrics=values, callbacks=[], current_epoch=4)
    collected = collect_metrics(trainer)
    assert collected == {"val/acc": 0.5, "train/loss": "nan", "epochs": 4, "images_per_second": None}
    json.dumps(collected, allow_nan=False)


@pytest.mark.parametrize(
    ("epochs", "trainer", "selected"),
    [
        (5, {}, True),
        (1, {}, False),
        (25, {"check_val_every_n_epoch": 25}, False),
        (1, {"val_check_interval": 0.5}, True),
        (1, {"val_check_interval": 1}, True),
        (1, {"check_val_every_n_epoch": None, "val_check_interval": 100}, True),
    ],
)
def test_one_validation_selects_nothing(
    epochs: int, trainer: dict[str, Any], selected: bool, cfg: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(cfg)
    record.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **trainer)
    record.metrics = {"epochs": epochs, "best/val/acc": 0.9}
    assert record.best_was_selected == selected
    changes: dict[str, Any] = {"trainer.check_val_every_n_epoch": (1, 25)}
    monkeypatch.setattr(record, "resume", SimpleNamespace(changes=changes))
    assert record.best_was_selected
    changes.clear()
    assert record.best_was_selected == selected
    record.metrics = {"epochs": epochs}
    assert not record.best_was_selected


def test_restore_best_loads_the_best_epochs_weights(run_dir: Path) -> None:
    class Module(torch.nn.Linear):
        device = torch.device("cpu")

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["state_dict"] = {n.rpartition(".")[2]: t for n, t in checkpoint["state_dict"].items()}

    path = run_dir / "checkpoints" / "best.ckpt"
    best = SimpleNamespace(monitor="val/acc", best_model_path=str(path), best_model_score=torch.tensor(0.75))
    trainer = SimpleNamespace(checkpoint_callbacks=[SimpleNamespace(monitor=None), best])
    network, monitor = Module(512, 2), OmegaConf.create({"metric": "val/acc"})
    result = restore_best(trainer, network, monitor)
    saved = torch.load(path, weights_only=True)
    assert result == {"best/val/acc": 0.75, "best/epoch": saved["epoch"] + 1}
    assert torch.equal(network.weight, saved["state_dict"]["network.head.weight"])
    best.best_model_path = ""
    assert restore_best(trainer, network, monitor) == {"best/val/acc": None, "best/epoch": None}


@pytest.mark.parametrize(
    ("environment", "is_first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0", "RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),  # Lightning, on a second machine
        ({"LOCAL_RANK": "0", "RANK": "8"}, False),  # torchrun, on a second machine
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_process_of_several_writes(
    environment: dict[str, str], is_first: bool, cfg: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Record(cfg).is_first_process is is_first


def test_a_run_that_its_search_gave_up_is_pruned(cfg: DictConfig, tmp_path: Path) -> None:
    for pruned in (False, True):
        with Record(cfg) as record:
            callbacks = [SimpleNamespace(), SimpleNamespace(pruned=pruned)]
            record.trainer = SimpleNamespace(callbacks=callbacks, should_stop=False)
        content = json.loads((record.directory / "metrics.json").read_text())
        assert content["status"] == ("pruned" if pruned else "completed")
