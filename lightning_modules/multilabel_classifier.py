"""Multi-label classification."""

from typing import Any

from torch import Tensor
from torchmetrics.classification import MultilabelAccuracy, MultilabelAveragePrecision, MultilabelF1Score

from engine.training.accounted_module import Outcome
from lightning_modules.classifier import Classifier


class MultilabelClassifier(Classifier):
    """L = `num_classes` binary labels per example: the network's outputs are logits (N, L), targets (N, L) in [0, 1].

    Logs `split/acc` and `split/f1`, macro-averaged at a threshold of 0.5, and on validation and test data also
    `split/acc_<label>`, `split/f1_<label>` and `split/map`, the mean average precision (area under the precision-recall
    curve) over the labels. The metrics round the targets.
    """

    several = True
    follows_chunks = True

    def __init__(self, **classifier: Any) -> None:
        super().__init__(**classifier)
        self.outputs = "logits (a sigmoid gives each class's probability)"

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def overall_metrics(self) -> dict[str, Any]:
        return self._at_threshold("macro", "")

    def detailed_metrics(self) -> dict[str, Any]:
        precision = MultilabelAveragePrecision(self.num_classes, average="macro", validate_args=False)
        return {"map": precision} | self._at_threshold(None, "_") | {n: m.clone() for n, m in self.more_metrics.items()}

    def _at_threshold(self, average: Any, suffix: str) -> dict[str, Any]:
        kinds = {"acc": MultilabelAccuracy, "f1": MultilabelF1Score}
        return {
            f"{name}{suffix}": kind(self.num_classes, average=average, validate_args=False)
            for name, kind in kinds.items()
        }

    def compute(self, batch: Any) -> Outcome:
        """As in Classifier, but with probabilities as predictions and integer targets, as the metrics expect."""
        loss, logits, targets = super().compute(batch)
        return Outcome(loss, logits.sigmoid(), targets.round().int())
