from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from engine.training.initialization import initialize
from networks.two_layer import CustomLinear, TwoLayerNet, two_layer_sequential

SETTINGS = {"d_in": 20, "hidden": 8, "d_out": 3, "bias": True, "activation": "ReLU", "custom_linear": False}


def draw() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 20, generator=generator), torch.randn(16, 3, generator=generator)


@pytest.mark.parametrize("name", ["two_layer", "two_layer_sequential"])
def test_config(name):
    network = OmegaConf.load(Path(__file__).parents[2] / f"conf/network/{name}.yaml")
    config = OmegaConf.create({"datamodule": {"d_in": 1000, "d_out": 10}, "network": network})
    assert instantiate(config.network)(torch.zeros(64, 1000)).shape == (64, 10)


@pytest.mark.parametrize("custom_linear", [False, True])
@pytest.mark.parametrize("activation", ["ReLU", "CustomReLU"])
def test_every_variant_equals_the_formula_and_its_gradients(custom_linear, activation):
    x, target = draw()
    network = TwoLayerNet(**{**SETTINGS, "custom_linear": custom_linear, "activation": activation})
    w1, b1, w2, b2 = (parameter.detach().clone().requires_grad_() for parameter in network.parameters())
    expected = (x.mm(w1.T) + b1).clamp(min=0).mm(w2.T) + b2
    output = network(x)
    torch.testing.assert_close(output, expected)
    gradients = torch.autograd.grad((output - target).square().sum(), list(network.parameters()))
    torch.testing.assert_close(gradients, torch.autograd.grad((expected - target).square().sum(), [w1, b1, w2, b2]))


def test_plain_weights_through_the_custom_relu_follow_the_notes_by_hand():
    """Forward, backward and update without autograd, on randn weights w1 (d_in, hidden) and w2 (hidden, d_out)."""
    x, y = (tensor.double() for tensor in draw())
    torch.manual_seed(0)
    network = TwoLayerNet(**{**SETTINGS, "bias": False, "activation": "CustomReLU"}).double()
    initialize(network, "normal")
    assert len(list(network.parameters())) == 2
    w1, w2 = (parameter.detach().T.clone() for parameter in network.parameters())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
    for _ in range(50):
        h = x.mm(w1)
        h_relu = h.clamp(min=0)
        error = h_relu.mm(w2) - y
        grad_h = (2 * error).mm(w2.T)
        grad_h[h < 0] = 0
        w1, w2 = w1 - 1e-4 * x.T.mm(grad_h), w2 - 1e-4 * h_relu.T.mm(2 * error)
        loss = (network(x) - y).square().sum()
        assert loss.item() == pytest.approx(error.square().sum().item(), rel=1e-9)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_the_same_seed_gives_every_variant_the_same_weights():
    networks = []
    for custom_linear in (False, True):
        torch.manual_seed(0)
        networks.append(TwoLayerNet(**{**SETTINGS, "custom_linear": custom_linear}))
    torch.manual_seed(0)
    networks.append(two_layer_sequential(d_in=20, hidden=8, d_out=3, activation="ReLU"))
    outputs = [network(draw()[0]) for network in networks]
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(outputs[2], outputs[0])
    assert isinstance(networks[1].linear2, CustomLinear)
    assert type(networks[2]) is nn.Sequential


def test_the_custom_layer_computes_by_the_hand_written_function():
    layer = CustomLinear(4, 2)
    assert layer(torch.zeros(1, 4)).grad_fn.name() == "LinearFunctionBackward"
