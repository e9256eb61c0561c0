"""Runs with the loggers that want an account or a server, without either."""

import sqlite3
from pathlib import Path

import pytest
import wandb
from PIL import Image

from tests.conftest import Train, metrics_of

PICTURES = ("first_batch", "val/predictions", "val/confusion")


def test_wandb_offline(
    tiny: tuple[str, ...], train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    run = train_here(tmp_path, *tiny, "network.pretrained=false", "trainer.max_epochs=2", "logger=[csv,wandb]")
    (offline,) = run.glob("wandb/offline-run-*")
    wandb.finish()  # which else come when the process ends
    wandb.teardown()
    (curves,) = offline.glob("run-*.wandb")
    assert curves.stat().st_size > 1000
    for tag in PICTURES:
        pictures = list((offline / "files" / "media" / "images").glob(f"{tag}_*.png"))
        assert pictures, tag
        with Image.open(pictures[0]) as picture:
            assert min(picture.size) > 100
    assert (run / "metrics.csv").is_file(), "several at once"


def test_mlflow_without_a_server(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    run = train_here(tmp_path, *tiny, "network.pretrained=false", "trainer.max_epochs=2", "logger=mlflow")
    database = sqlite3.connect(tmp_path / "mlflow.db")
    try:
        points = database.execute("SELECT step, value FROM metrics WHERE key = 'val/loss' ORDER BY step").fetchall()
        settings = dict(database.execute("SELECT key, value FROM params").fetchall())
        ((name,),) = database.execute("SELECT name FROM experiments WHERE name != 'Default'").fetchall()
    finally:
        database.close()
    assert [step for step, _ in points] == [4, 8]
    assert points[-1][1] == pytest.approx(metrics_of(run)["val/loss"])
    assert settings["optimizer.lr"] == "0.001"
    assert name == "transfer_feature_extractor"
    names = [file.name.replace("~", "/") for file in tmp_path.glob("mlruns/*/*/artifacts/images/*.png")]
    assert all(any(name.startswith(tag) for name in names) for tag in PICTURES), names
