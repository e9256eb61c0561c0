import pytest
import torch
from torch import Tensor

from engine.features.fold_accuracy import FoldAccuracy
from engine.statistics import resampled_interval


@pytest.fixture
def answers() -> tuple[Tensor, Tensor]:
    """Logits of 60 answers, about half of them right, of 2 · 3 heads."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (60,), generator=generator)
    logits = torch.randn(60, 4, generator=generator) + torch.nn.functional.one_hot(labels, 4)
    return logits, torch.stack([labels, torch.arange(60) % 6], dim=1)


def test_against_a_loop(answers: tuple[Tensor, Tensor]) -> None:
    logits, targets = answers
    metric = FoldAccuracy(num_classes=4, num_folds=3, num_repeats=2)
    for rows in (slice(0, 7), slice(7, 60)):
        metric.update(logits[rows], targets[rows])
    computed = metric.compute()

    right = [int(row.argmax() == label) for row, (label, _) in zip(logits, targets.tolist(), strict=True)]
    heads = [[r for r, (_, head) in zip(right, targets.tolist(), strict=True) if head == h] for h in range(6)]
    folds = torch.tensor([sum(own) / len(own) for own in heads], dtype=torch.float64)
    classes = [[r for r, (label, _) in zip(right, targets.tolist(), strict=True) if label == k] for k in range(4)]
    assert computed["acc"] == pytest.approx(sum(folds.tolist()) / 6)
    assert computed["acc_std"] == pytest.approx((((folds - folds.mean()) ** 2).sum() / 5).sqrt().item())
    assert computed["acc_"].tolist() == pytest.approx([sum(own) / len(own) for own in classes])
    p = (sum(right) / 2 + 2) / (30 + 4)  # each repeat has 30 photos, 10 in each fold
    interval = resampled_interval(folds.tolist(), 1 / 2, 0.95, p * (1 - p) / 10)
    assert 0 < interval[0] < interval[1] < 1
    assert (computed["acc_low"].item(), computed["acc_high"].item()) == pytest.approx(interval)


def test_interval_stays_within_what_an_accuracy_can_be() -> None:
    metric = FoldAccuracy(num_classes=2, num_folds=2, num_repeats=1)
    logits = torch.tensor([[1.0, 0.0]] * 4)
    metric.update(logits, torch.tensor([[0, 0], [0, 0], [0, 1], [1, 1]]))
    computed = metric.compute()
    assert (computed["acc"], computed["acc_low"], computed["acc_high"]) == (0.75, 0, 1)


def test_folds_that_agree_are_not_certain() -> None:
    """10 folds of 20 photos, all right: t(9) = 2.26216, p = 202 / 204."""
    metric = FoldAccuracy(num_classes=2, num_folds=10, num_repeats=1)
    metric.update(torch.tensor([[1.0, 0.0]] * 200), torch.stack([torch.zeros(200), torch.arange(200) % 10], 1).long())
    computed = metric.compute()
    half = 2.26216 * ((1 / 10 + 1 / 9) * (202 / 204) * (2 / 204) / 20) ** 0.5
    assert (computed["acc"], computed["acc_high"]) == (1, 1)
    assert computed["acc_low"].item() == pytest.approx(1 - half, abs=1e-6)


def test_reset(answers: tuple[Tensor, Tensor]) -> None:
    metric = FoldAccuracy(num_classes=4, num_folds=3, num_repeats=2)
    metric.update(-answers[0], answers[1])
    metric.reset()
    metric.update(*answers)
    fresh = FoldAccuracy(num_classes=4, num_folds=3, num_repeats=2)
    fresh.update(*answers)
    assert torch.equal(metric.compute()["acc"], fresh.compute()["acc"])
