"""A job of a sweep leaves what its single run leaves, to the bit, whatever jobs its worker has run before."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from tests.conftest import RunTrain

EXPERIMENT = "experiment=transfer_feature_extractor"
TIMED = ("seconds", "images_per_second", "throughput")
PLACES = ("hyper_parameters", "curves")
"""In checkpoints: what names the run's directory, and says that it is a job."""


def plain(node: Any, directory: Path) -> Any:
    """A checkpoint's or metrics.json's content but for times, the run directory standing for itself."""
    if isinstance(node, dict):
        kept = {key: node[key] for key in node if not str(key).endswith(TIMED) and key not in PLACES}
        return {str(key).replace(str(directory), "DIR"): plain(value, directory) for key, value in kept.items()}
    if isinstance(node, list | tuple):
        return [plain(value, directory) for value in node]
    if isinstance(node, Tensor):
        return (node.dtype, node.shape, node.contiguous().numpy().tobytes())
    return str(node).replace(str(directory), "DIR")


def left_by(directory: Path) -> dict[str, Any]:
    files: dict[str, Any] = {}
    for path in sorted((directory / "checkpoints").iterdir()):
        files[path.name] = plain(torch.load(path, weights_only=True), directory)
    files["metrics.json"] = plain(json.loads((directory / "metrics.json").read_text()), directory)
    with (directory / "metrics.csv").open(newline="") as file:
        files["metrics.csv"] = [row for row in csv.DictReader(file) if not row["name"].endswith(TIMED)]
    config = yaml.safe_load((directory / "config.yaml").read_text())
    del config["callback"]["hyper_parameters"]["swept"]  # says which settings are the job's own
    files["config.yaml"] = config
    return files


@pytest.mark.parametrize("weights", ["network=efficientnet_lite0", "network.pretrained=false"])
def test_jobs_are_their_single_runs(weights: str, tiny: tuple[str, ...], run_train: RunTrain, tmp_path: Path) -> None:
    saving = "callback.last_checkpoint.min_seconds=0"
    settings = (EXPERIMENT, *tiny, weights, "logger=csv", "trainer.max_epochs=3", saving)
    swept = ("seed=3,4,5", "optimizer.lr=0.01,0.03")
    one_worker = ("hydra.sweep.dir=sweep", "hydra.launcher.n_jobs=1")
    done = run_train("-m", *settings, *swept, *one_worker, cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    jobs = {path.name: path for path in (tmp_path / "sweep").iterdir() if (path / "metrics.json").exists()}
    assert len(jobs) == 6
    for name in ("000_seed-3_lr-0.01", "003_seed-4_lr-0.03", "005_seed-5_lr-0.03"):
        _, seed, lr = name.split("_")
        own = (seed.replace("-", "="), f"optimizer.{lr.replace('-', '=')}", f"hydra.run.dir={name}")
        done = run_train(*settings, *own, cwd=tmp_path, timeout=400)
        assert done.returncode == 0, done.stderr
        alone, job = left_by(tmp_path / name), left_by(jobs[name])
        assert alone.keys() == job.keys()
        assert {"backbone.ckpt", "best.ckpt", "last.ckpt"} < alone.keys()
        assert [name for name in alone if alone[name] != job[name]] == []
