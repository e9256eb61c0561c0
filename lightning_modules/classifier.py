"""Supervised classification."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from engine.training.procedure import Procedure
from engine.wording import class_metric

Outputs = Literal["logits", "log_probabilities", "one_hot"]
MEANINGS: dict[str, str] = {
    "logits": "logits (a softmax gives the classes' probabilities)",
    "log_probabilities": "log-probabilities (their exponentials are the classes' probabilities)",
    "one_hot": "estimates of a one-hot vector (clamped to [0, 1] and divided by their sum: the classes' probabilities)",
}


class Classifier(Procedure):
    """One label per example: the network's outputs are (N, num_classes), targets are indices (N,).

    Logs `split/acc`, the share of right answers, and on validation and test data `split/acc_<class>`, each class's own.

    Args:
        outputs: what the loss makes of the network's outputs, a key of MEANINGS. It changes no training, only the
            probabilities that are shown, predicted and described in exports.
    """

    several = False

    def __init__(self, *, num_classes: int, outputs: Outputs, **procedure: Any) -> None:
        super().__init__(outputs=MEANINGS[outputs], **procedure)
        self.num_classes = num_classes
        self.kind_of_outputs = outputs
        self.train_metrics = MetricCollection(self.overall_metrics(), prefix="train/")
        self.val_metrics = MetricCollection(self.overall_metrics() | self.detailed_metrics(), prefix="val/")
        self.test_metrics = MetricCollection(self.overall_metrics() | self.detailed_metrics(), prefix="test/")

    def probabilities(self, outputs: Tensor) -> Tensor:
        """The network's outputs (N, num_classes) as probabilities in [0, 1], each row's sum 1."""
        if self.kind_of_outputs == "log_probabilities":
            return outputs.exp()
        if self.kind_of_outputs == "logits":
            return outputs.softmax(1)
        # The small term keeps the order of what the clamp makes equal, and the sum above 0.
        shares = outputs.clamp(0, 1) + 1e-6 * outputs.softmax(1)
        return shares / shares.sum(1, keepdim=True)

    def overall_metrics(self) -> dict[str, Any]:
        """What is kept on every split."""
        return {"acc": MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)}

    def detailed_metrics(self) -> dict[str, Any]:
        """What is kept on validation and test data besides; `name_` gives one value per class (class_metric)."""
        return {"acc_": MulticlassAccuracy(self.num_classes, average=None, validate_args=False)}

    def metrics(self, split: str) -> MetricCollection:
        metrics = {"train": self.train_metrics, "val": self.val_metrics, "test": self.test_metrics}[split]
        assert isinstance(metrics, MetricCollection)
        return metrics

    def named_metrics(self, computed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        scalars = {name: value for name, value in computed.items() if value.ndim == 0}
        for name, values in computed.items():
            if values.ndim == 1:
                kind = name.removesuffix("_")
                scalars |= {class_metric(kind, label): v for label, v in zip(self.classes, values, strict=True)}
        return scalars

    @property
    def classes(self) -> list[str]:
        """The datamodule's class names, in the order of the labels."""
        names: list[str] = self.trainer.datamodule.classes  # type: ignore[attr-defined]
        return names
