import torch
from torch import Tensor
from torchmetrics import Metric

from engine.statistics import fold_interval

CONFIDENCE = 0.95


class FoldAccuracy(Metric):
    """Accuracy of a cross-validation: each head is evaluated on the examples held out from it.

    `compute` returns `acc`, the mean of the heads' accuracies, `acc_std`, their standard deviation, `acc_low` and
    `acc_high`, the 95 % confidence interval of the mean (`summary`), `acc_` (num_classes,), the accuracy per class over
    all heads, and `heads` (2, heads, num_classes): how many examples of each class each head got right, and how many it
    was given.
    """

    higher_is_better = True
    full_state_update = False
    names = ("acc", "acc_std", "acc_low", "acc_high", "acc_")
    answers: Tensor
    right: Tensor

    def __init__(self, *, num_classes: int, num_folds: int, num_repeats: int) -> None:
        super().__init__()
        self.num_folds = num_folds
        shape = (num_folds * num_repeats, num_classes)
        self.add_state("answers", torch.zeros(shape), dist_reduce_fx="sum")  # per head and class
        self.add_state("right", torch.zeros(shape), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Logits (N, num_classes) of held-out examples; targets (N, 2) are the class and the head's index."""
        labels, heads = targets.unbind(1)
        is_right = logits.argmax(1) == labels
        for counts, weight in ((self.answers, torch.ones_like(is_right)), (self.right, is_right)):
            counts.index_put_((heads, labels), weight.to(counts.dtype), accumulate=True)

    def compute(self) -> dict[str, Tensor]:
        return {
            **summary(self.right.sum(1), self.answers.sum(1), self.num_folds),
            "acc_": self.right.sum(0) / self.answers.sum(0),
            "heads": torch.stack([self.right, self.answers]),
        }


def summary(right: Tensor, answers: Tensor, num_folds: int) -> dict[str, Tensor]:
    """`acc`, `acc_std`, `acc_low` and `acc_high` of heads that got `right` (F,) of `answers` (F,) right.

    The interval is `fold_interval`, clipped to [0, 1].
    """
    accuracies = right.double() / answers
    repeats = len(answers) / num_folds
    counts = float(right.sum()) / repeats, float(answers.sum()) / repeats
    low, high = fold_interval(accuracies.tolist(), num_folds, *counts, CONFIDENCE)
    return {
        "acc": accuracies.mean().float(),
        "acc_std": accuracies.std().float(),
        "acc_low": torch.tensor(max(low, 0.0), device=accuracies.device),
        "acc_high": torch.tensor(min(high, 1.0), device=accuracies.device),
    }
