"""The metrics that can be monitored, against those that runs really log."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchmetrics import MetricCollection

from engine.features.fold_accuracy import FoldAccuracy
from engine.preflight.monitors import logged_metrics
from tests.conftest import Train, metrics_of


def test_names_are_those_that_a_fold_accuracy_computes() -> None:
    metric = FoldAccuracy(num_classes=2, num_folds=2, num_repeats=1)
    metric.update(torch.eye(2), torch.tensor([[0, 0], [1, 1]]))
    assert set(metric.compute()) == {*FoldAccuracy.names, "heads"}


@pytest.mark.parametrize("experiment", ["lenet_nll", "regression_adam"])
def test_a_run_logs_them(experiment: str, train_here: Train, tmp_path: Path) -> None:
    directory = train_here(tmp_path, f"experiment={experiment}", "trainer=cpu", "debug=fast")
    config = OmegaConf.load(directory / "config.yaml")
    config.run_dir = str(directory)
    parts = {name: instantiate(config[name]) for name in ("network", "loss", "optimizer", "scheduler")}
    names = set(logged_metrics(instantiate(config.lightning_module, **parts)))
    logged = {name for name in metrics_of(directory) if name.startswith(("train/", "val/"))}
    logged -= {"train/images_per_second"}  # a callback's
    classwise = {name for name in names if name.endswith("_")}
    assert names - classwise == {name for name in logged if not name.startswith(tuple(classwise))}


def test_a_metric_of_several_values() -> None:
    class Module:
        def metrics(self, split: str) -> MetricCollection | None:
            folds = FoldAccuracy(num_classes=2, num_folds=2, num_repeats=1)
            return MetricCollection({"folds": folds}, prefix="val/") if split == "val" else None

    assert set(logged_metrics(Module())) == {"train/loss", "val/loss", *(f"val/{name}" for name in FoldAccuracy.names)}
