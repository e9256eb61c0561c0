"""Chooses each head's epoch in a nested cross-validation, on examples it is neither trained nor evaluated on."""

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class HeadScores(Metric):
    """The mean score of each of F heads, (F,); NaN for a head without examples."""

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(num_heads, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(num_heads), dist_reduce_fx="sum")

    def update(self, scores: Tensor, counts: Tensor) -> None:
        """Adds the heads' mean scores (F,) over `counts` (F,) examples each."""
        self.sums += torch.where(counts > 0, scores.double() * counts, 0)
        self.counts += counts

    def compute(self) -> Tensor:
        return self.sums / self.counts


class EpochChoice(nn.Module):
    """Each head's epoch with the highest score so far, and its correct predictions per class (F, C) in that epoch."""

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
        """Ends the epoch in which the heads got `right` of `answers` held-out examples right, both (F, C).

        Both are kept for heads that score higher than before.
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
        """Each head's accuracy on its held-out examples at its chosen epoch, (F,)."""
        return self.right.sum(1).double() / self.answers.sum(1)

    def heads(self) -> list[dict[str, float]]:
        """One row per head: its chosen epoch (from 1), its score and accuracy there, and both after the last epoch."""
        columns = {
            "epoch": self.epochs + 1,
            "score": self.scores,
            "acc": self.accuracies,
            "last_score": self.last_scores,
            "last_acc": self.last_accuracies,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]
