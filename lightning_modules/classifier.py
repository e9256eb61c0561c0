"""Supervised classification."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from engine.errors import UserError
from engine.run.data_facts import classes_of
from engine.training.accounted_module import Outcome
from engine.training.procedure import Procedure
from engine.wording import class_metric
from losses.one_hot_mse import OneHotMSELoss

LOGITS = "logits (a softmax gives the classes' probabilities)"
LOG_PROBABILITIES = "log-probabilities (their exponentials are the classes' probabilities)"
ONE_HOT = "estimates of a one-hot vector (clamped to [0, 1] and divided by their sum: the classes' probabilities)"


class ClassAccuracy(MulticlassAccuracy):
    """Accuracy per class (num_classes,); NaN instead of 0 for a class without examples."""

    def compute(self) -> Tensor:
        examples = torch.as_tensor(self.tp) + torch.as_tensor(self.fn)
        return super().compute().masked_fill(examples == 0, torch.nan)


class Classifier(Procedure):
    """One label per example: the network's outputs are (N, num_classes), targets are class indices (N,).

    The loss determines what the outputs mean: estimates of a one-hot vector for OneHotMSELoss, log-probabilities for
    NLLLoss, logits otherwise. Logs `split/acc` and, on validation and test data, `split/acc_<class>`.

    Args:
        metrics: additional metrics by name, for validation and test data (conf/metrics).
        mix: mixes a batch of training images and labels (conf/mix); `train/acc` compares with the original labels.
    """

    several = False
    follows_chunks = True

    def __init__(
        self,
        *,
        num_classes: int,
        metrics: Mapping[str, Metric] | None = None,
        mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        **procedure: Any,
    ) -> None:
        super().__init__(**procedure)
        self.num_classes = num_classes
        self.more_metrics = dict(metrics or {})
        self.mix = mix
        self.outputs = _meaning(self.loss)
        self.train_metrics = MetricCollection(self.overall_metrics(), prefix="train/")
        self.val_metrics = MetricCollection(self.overall_metrics() | self.detailed_metrics(), prefix="val/")
        self.test_metrics = MetricCollection(self.overall_metrics() | self.detailed_metrics(), prefix="test/")

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Converts the network's outputs (N, num_classes) to probabilities in [0, 1] whose rows sum to 1."""
        if self.outputs != ONE_HOT:
            return outputs.softmax(1)  # equals exp for log-probabilities
        # The small term keeps the order of values that the clamp makes equal, and the sum above 0.
        shares = outputs.clamp(0, 1) + 1e-6 * outputs.softmax(1)
        return shares / shares.sum(1, keepdim=True)

    def compute(self, batch: Any) -> Outcome:
        if self.mix is None or not self.training:
            return super().compute(batch)
        inputs, labels = batch
        if inputs.ndim != 4:
            raise UserError("lightning_module.mix needs images, not cached features: set cache=false.")
        inputs, shares = self.mix(inputs, labels)
        predictions = self(inputs)
        return Outcome(self.compared(predictions, shares), predictions, labels)

    def overall_metrics(self) -> dict[str, Any]:
        """Metrics for every split."""
        return {"acc": MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)}

    def detailed_metrics(self) -> dict[str, Any]:
        """Additional metrics for validation and test data; `name_` has one value per class (class_metric)."""
        more = {name: metric.clone() for name, metric in self.more_metrics.items()}
        return {"acc_": ClassAccuracy(self.num_classes, average=None, validate_args=False)} | more

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
        """The datamodule's class names, in the order of the labels; the labels themselves if it has none."""
        names = classes_of(self.trainer.datamodule)  # type: ignore[attr-defined]
        return names or [str(label) for label in range(self.num_classes)]


def _meaning(loss: nn.Module | None) -> str:
    if isinstance(loss, OneHotMSELoss):
        return ONE_HOT
    return LOG_PROBABILITIES if isinstance(loss, nn.NLLLoss) else LOGITS
