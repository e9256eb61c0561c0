"""TensorBoard's PR CURVES tab."""

from typing import Annotated, Any

import torch
from annotated_types import Ge
from pytorch_lightning import Trainer
from torch import Tensor

from callbacks.evaluation import PredictionCallback, indices_in_split
from callbacks.loggers import tensorboard_loggers

THRESHOLDS = 127  # TensorBoard's maximum


class PRCurves(PredictionCallback):
    """Precision-recall curves per class: `val/pr_<class>` of the last validation and `test/pr_<class>`.

    Evaluation steps must return outputs (N, num_classes) for labels (N,), or probabilities for multi-label targets
    (N, num_classes). With several processes, the first shows its own photos. There are no curves while the network's
    outputs are not numbers.

    Args:
        max_classes: maximum number of curves; with more classes, only the first ones are shown.
    """

    is_last_alone = True

    def __init__(self, *, max_classes: Annotated[int, Ge(1)]) -> None:
        super().__init__()
        self.max_classes = max_classes

    def takes(self, scores: Any, labels: Any) -> bool:
        one, several = super().takes(scores, labels), isinstance(scores, Tensor) and isinstance(labels, Tensor)
        return one or (several and scores.ndim == 2 and labels.shape == scores.shape)

    def show(self, trainer: Trainer, split: str) -> None:
        probabilities = self.probabilities
        if not (loggers := tensorboard_loggers(trainer)) or probabilities.isnan().any():
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        indices = indices_in_split(trainer, range(len(probabilities)))
        labels = torch.tensor(datamodule.labels(split, indices))
        is_true = labels.round().bool() if labels.ndim == 2 else one_hot(labels, probabilities.shape[1])
        for label, name in enumerate(datamodule.classes[: self.max_classes]):
            curve = precision_recall(probabilities[:, label], is_true[:, label]).numpy()
            for logger in loggers:
                logger.experiment.add_pr_curve_raw(
                    f"{split}/pr_{name}", *curve, global_step=trainer.global_step, num_thresholds=THRESHOLDS
                )


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """(N, num_classes) bool, true at each row's label (N,)."""
    return labels[:, None] == torch.arange(num_classes)


def precision_recall(probabilities: Tensor, is_true: Tensor) -> Tensor:
    """The curve (6, THRESHOLDS) for thresholds t = 0, 1/126, … 1; probabilities (N,) ≥ t are positive.

    Rows: true and false positives, true and false negatives, precision and recall; 0 / 0 is 0.
    """
    buckets = (probabilities.double() * (THRESHOLDS - 1)).floor().long()
    counts = torch.zeros(2, THRESHOLDS, dtype=torch.double)
    counts.index_put_((is_true.long(), buckets), torch.ones(len(buckets), dtype=torch.double), accumulate=True)
    false_positives, true_positives = counts.flip(1).cumsum(1).flip(1)
    true_negatives = false_positives[0] - false_positives
    false_negatives = true_positives[0] - true_positives
    precision = true_positives / (true_positives + false_positives).clamp(min=1)
    recall = true_positives / true_positives[0].clamp(min=1)
    return torch.stack([true_positives, false_positives, true_negatives, false_negatives, precision, recall])
