"""Regression."""

from typing import Any

from torchmetrics import MetricCollection
from torchmetrics.regression import MeanSquaredError

from engine.training.procedure import Procedure


class Regressor(Procedure):
    """Fits outputs (N, D) to targets (N, D), both floating point.

    Logs `split/mse`, the mean over examples and outputs; `split/loss` may be a sum, which depends on the batch size.
    """

    def __init__(self, **procedure: Any) -> None:
        super().__init__(**procedure)
        metrics = MetricCollection({"mse": MeanSquaredError()})
        self.train_metrics = metrics.clone(prefix="train/")
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")

    def metrics(self, split: str) -> MetricCollection:
        metrics: MetricCollection = getattr(self, f"{split}_metrics")
        return metrics
