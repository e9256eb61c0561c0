"""The losses of conf/loss/ that torch.nn has: each config against its formula."""

import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf


def load(name: str) -> torch.nn.Module:
    return instantiate(OmegaConf.load(Path(__file__).parents[2] / f"conf/loss/{name}.yaml"))


@pytest.mark.parametrize(("name", "expected"), [("mse", (1 + 4 + 0 + 16) / 4), ("mse_sum", 1 + 4 + 0 + 16)])
def test_squared_errors(name, expected):
    outputs, targets = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    assert load(name)(outputs, targets).item() == pytest.approx(expected)


def test_nll_of_log_softmax_is_cross_entropy():
    logits = torch.randn(16, 10, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(16) % 10
    torch.testing.assert_close(load("nll")(logits.log_softmax(1), targets), load("cross_entropy")(logits, targets))


def test_bce_of_several_labels_at_once():
    logits, targets = torch.tensor([[0.3, -2.0, 5.0]]), torch.tensor([[1.0, 0.0, 0.25]])
    probabilities = [1 / (1 + math.exp(-z)) for z in logits[0].tolist()]
    terms = [
        -t * math.log(p) - (1 - t) * math.log(1 - p) for p, t in zip(probabilities, targets[0].tolist(), strict=True)
    ]
    assert load("bce")(logits, targets).item() == pytest.approx(sum(terms) / 3, rel=1e-5)
    torch.testing.assert_close(load("bce")(logits, targets), torch.nn.BCELoss()(logits.sigmoid(), targets))
