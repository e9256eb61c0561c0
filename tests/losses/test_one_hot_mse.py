from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from losses.one_hot_mse import OneHotMSELoss


def test_agrees_with_a_naive_loop():
    loss = instantiate(OmegaConf.load(Path(__file__).parents[2] / "conf/loss/one_hot_mse.yaml"))
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([2, 0, 0, 1])
    errors = [(outputs[n, c].item() - (c == targets[n].item())) ** 2 for n in range(4) for c in range(3)]
    assert loss(outputs, targets).item() == pytest.approx(sum(errors) / 12, rel=1e-6)


def test_gradient_is_two_over_the_size_times_the_error():
    outputs = torch.zeros(2, 4, requires_grad=True)
    OneHotMSELoss()(outputs, torch.tensor([1, 3])).backward()
    expected = torch.tensor([[0.0, -1, 0, 0], [0, 0, 0, -1]]) * 2 / 8
    torch.testing.assert_close(outputs.grad, expected)


def test_a_class_outside_is_an_error():
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        OneHotMSELoss()(torch.zeros(1, 3), torch.tensor([3]))
