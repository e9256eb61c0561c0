import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.domain_adapter import DomainAdapter
from losses.mmd import MMDLoss
from tests.noise import PLAIN


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU())
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


MMD = MMDLoss(kernel_mul=2.0, kernel_num=5, fix_sigma=None, unbiased=False)


def adapter(epoch: int = 3, **changes: Any) -> DomainAdapter:
    """In `epoch` of 12."""
    torch.manual_seed(0)
    settings = {
        "network": Network(),
        "loss": nn.CrossEntropyLoss(),
        "discrepancy": MMD,
        "weight": 0.7,
        "optimizer": partial(torch.optim.SGD, lr=0.1),
        **PLAIN,
        "num_classes": 3,
    }
    module = DomainAdapter(**(settings | changes))
    module.trainer = SimpleNamespace(current_epoch=epoch, max_epochs=12)  # type: ignore[assignment]
    return module


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(6, 2, 3, 2, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0, 1, 2])


def test_loss_is_the_sources_with_the_discrepancy_of_both_layers(batch: tuple[Tensor, Tensor]) -> None:
    module = adapter()
    outcome = module.compute(batch)
    pairs, labels = batch
    source, target = module.network.features(pairs[:, 0]), module.network.features(pairs[:, 1])
    logits, of_target = module.network.head(source), module.network.head(target)
    weight = 0.7 * math.tanh(5 * 3 / 12)  # 2 / (1 + exp(-10 p)) - 1 = tanh(5 p)
    expected = nn.functional.cross_entropy(logits, labels) + weight * (MMD(source, target) + MMD(logits, of_target))
    torch.testing.assert_close(outcome.loss, expected)
    torch.testing.assert_close(outcome.predictions, logits)
    assert outcome.targets is labels


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_discrepancy_is_averaged_over_the_epochs_examples(epoch: int, batch: tuple[Tensor, Tensor]) -> None:
    """Also in the first epoch, in which it has no weight."""
    module = adapter(epoch)
    pairs, labels = batch
    for part in (slice(0, 4), slice(4, 6)):
        module.compute((pairs[part], labels[part]))
    with torch.no_grad():
        layers = [(f, module.network.head(f)) for f in map(module.network.features, pairs.unbind(1))]
        each = [sum(MMD(a[part], b[part]) for a, b in zip(*layers, strict=True)) for part in (slice(0, 4), slice(4, 6))]
    total, count = module._sums["train/discrepancy"]
    assert count == 6
    assert (total / count).item() == pytest.approx(float((4 * each[0] + 2 * each[1]) / 6), rel=1e-5)


def test_both_domains_shape_the_features(batch: tuple[Tensor, Tensor]) -> None:
    pairs = batch[0].requires_grad_()
    adapter().compute((pairs, batch[1])).loss.backward()
    assert pairs.grad is not None
    assert pairs.grad[:, 0].any()
    assert pairs.grad[:, 1].any()


@pytest.mark.parametrize("change", [{"weight": 0.0}, {"epoch": 0}])
def test_without_weight_it_is_a_classifier_of_the_source(change: Any, batch: tuple[Tensor, Tensor]) -> None:
    module = adapter(**change)
    pairs, labels = batch
    expected = nn.functional.cross_entropy(module.network(pairs[:, 0]), labels)
    torch.testing.assert_close(module.compute(batch).loss, expected)


def test_weight_rises_to_its_end() -> None:
    weights = [adapter(epoch).current_weight() for epoch in range(12)]
    assert weights[0] == 0
    assert weights == sorted(weights)
    assert weights[-1] == pytest.approx(0.7, rel=1e-3)


def test_evaluation_is_a_classifiers(batch: tuple[Tensor, Tensor]) -> None:
    module = adapter()
    images, labels = batch[0][:, 1], batch[1]
    outcome = module.compute((images, labels))
    torch.testing.assert_close(outcome.loss, nn.functional.cross_entropy(module.network(images), labels))
