"""Supervised classification."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from engine.training.procedure import Procedure


class Classifier(Procedure):
    """One label out of `num_classes` an example: the network gives logits (N, num_classes), targets are indices (N,).

    Logs `split/acc`, the share of right answers, and on validation and test data `split/acc_<class>`, each class's own.
    """

    outputs = "logits (a softmax gives the classes' probabilities)"
    several = False

    def __init__(self, *, num_classes: int, **procedure: Any) -> None:
        super().__init__(**procedure)
        self.num_classes = num_classes
        self.train_metrics = MetricCollection(self.overall_metrics(), prefix="train/")
        self.val_metrics = MetricCollection(self.overall_metrics() | self.detailed_metrics(), prefix="val/")
        self.test_metrics = MetricCollection(self.overall_metrics() | self.detailed_metrics(), prefix="test/")

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Of the network's outputs (N, num_classes): the classes' probabilities."""
        return outputs.softmax(1)

    def overall_metrics(self) -> dict[str, Any]:
        """What is kept on every split."""
        return {"acc": MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)}

    def detailed_metrics(self) -> dict[str, Any]:
        """What is kept on validation and test data besides; `name_` gives a value a class, logged as `name_<class>`."""
        return {"acc_": MulticlassAccuracy(self.num_classes, average=None, validate_args=False)}

    def metrics(self, split: str) -> MetricCollection:
        metrics = {"train": self.train_metrics, "val": self.val_metrics, "test": self.test_metrics}[split]
        assert isinstance(metrics, MetricCollection)
        return metrics

    def named_metrics(self, computed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        scalars = {name: value for name, value in computed.items() if value.ndim == 0}
        for name, values in computed.items():
            if values.ndim == 1:
                scalars |= {f"{name}{label}": value for label, value in zip(self.classes, values, strict=True)}
        return scalars

    @property
    def classes(self) -> list[str]:
        """The datamodule's class names, in the order of the labels."""
        names: list[str] = self.trainer.datamodule.classes  # type: ignore[attr-defined]
        return names
