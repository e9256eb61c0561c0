from pathlib import Path

import pytest
import wandb

from engine.loggers.wandb_logger import WandbLogger


def test_a_second_run_is_not_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    identities = []
    for name in ("one", "two"):
        logger = WandbLogger(project="a#p/b", version=name, save_dir=str(tmp_path), offline=True)
        logger.log_metrics({"loss": 1.0}, step=1)
        identities.append(logger.experiment.id)
        assert logger.experiment.project == "a-p-b"
    wandb.finish()
    assert identities == ["one", "two"]
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


def test_a_project_is_named_as_the_service_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    assert WandbLogger(project="mine/b#1", save_dir=tmp_path, offline=True)._project == "mine-b-1"
