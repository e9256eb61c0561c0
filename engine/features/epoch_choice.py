"""The epoch of each head of a nested cross-validation: chosen by examples it is neither trained on nor judged by."""

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class HeadScores(Metric):
    """The mean score (F,) of each of F heads; NaN for one without an example."""

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(num_heads, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(num_heads), dist_reduce_fx="sum")

    def update(self, scores: Tensor, counts: Tensor) -> None:
        """`scores` (F,), each the mean over `counts` (F,) examples."""
        self.sums += torch.where(counts > 0, scores.double() * counts, 0)
        self.counts += counts

    def compute(self) -> Tensor:
        return self.sums / self.counts


class EpochChoice(nn.Module):
    """Of each of F heads the epoch with the highest score so far, and what it got right (F, C) in that epoch."""

    scores: Tensor
    epochs: Tensor
    right: Tensor
    answers: Tensor
    last_scores: Tensor
    last_accuracies: Tensor

    def __init__(self, num_heads: int, num_classes: int) -> None:
        super().__init__()
        self.current = HeadScores(num_heads)
        self.register_buffer("scores", torch.full((num_heads,), -torch.inf, dtype=torch.float64))
        self.register_buffer("epochs", torch.zeros(num_heads, dtype=torch.long))
        self.register_buffer("right", torch.zeros(num_heads, num_classes))
        self.register_buffer("answers", torch.zeros(num_heads, num_classes))
        self.register_buffer("last_scores", torch.zeros(num_heads, dtype=torch.float64))
        self.register_buffer("last_accuracies", torch.zeros(num_heads, dtype=torch.float64))

    def end_epoch(self, epoch: int, right: Tensor, answers: Tensor) -> None:
        """What the heads got right of their held-out examples after this epoch, both (F, C).

        It is kept of the heads that score higher than before.
        """
        scores = self.current.compute()
        self.current.reset()
        self.last_scores.copy_(scores)
        self.last_accuracies.copy_(right.sum(1).double() / answers.sum(1))
        better = scores > self.scores
        self.scores.copy_(torch.where(better, scores, self.scores))
        self.epochs[better] = epoch
        self.right[better], self.answers[better] = right[better], answers[better]

    @property
    def accuracies(self) -> Tensor:
        """Of each head, on its held-out examples at its chosen epoch (F,)."""
        return self.right.sum(1).double() / self.answers.sum(1)

    def heads(self) -> list[dict[str, float]]:
        """A row per head: its chosen epoch, from 1, the score that chose it, its accuracy, and both at the last."""
        columns = {
            "epoch": self.epochs + 1,
            "score": self.scores,
            "acc": self.accuracies,
            "last_score": self.last_scores,
            "last_acc": self.last_accuracies,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]
