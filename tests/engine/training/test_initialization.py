import math

import pytest
import torch
from torch import nn

from engine.training.initialization import INITIALIZERS, initialize

# Standard deviation of a weight, from fan_in and fan_out.
STD = {
    "kaiming_normal": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "kaiming_uniform": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "xavier_normal": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "xavier_uniform": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "orthogonal": lambda fan_in, fan_out: math.sqrt(1 / max(fan_in, fan_out)),
    "normal": lambda fan_in, fan_out: 1.0,
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Flatten(), nn.Linear(400, 300, bias=False))


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_spread_of_linear_and_convolution_weights(network, name):
    initialize(network, name)
    assert network[3].weight.std().item() == pytest.approx(STD[name](400, 300), rel=0.03)
    if name != "orthogonal":
        assert network[0].weight.std().item() == pytest.approx(STD[name](16 * 9, 32 * 9), rel=0.05)
    if name.endswith("uniform"):
        assert network[3].weight.abs().max() <= math.sqrt(3) * STD[name](400, 300)
    assert network[0].bias.eq(0).all()


def test_orthogonal_rows(network):
    initialize(network, "orthogonal")
    torch.testing.assert_close(network[3].weight @ network[3].weight.T, torch.eye(300), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_normalisation_keeps_its_values(network, name):
    network[1].weight.data.fill_(2)
    initialize(network, name)
    assert network[1].weight.eq(2).all()


def test_null_changes_nothing(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    initialize(network, None)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_seed_decides(network):
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        initialize(network, "xavier_uniform")
        weights.append(network[3].weight.clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_unknown_name_lists_the_valid_ones(network):
    with pytest.raises(ValueError, match=r"unknown initialization 'kaiming'.*" + ".*".join(INITIALIZERS)):
        initialize(network, "kaiming")


def test_frozen_layers_keep_their_weights(network):
    network[0].requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    initialize(network, "normal")
    assert torch.equal(network[0].weight, before["0.weight"])
    assert not torch.equal(network[3].weight, before["3.weight"])
