from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from networks.lenet import LeNet

SETTINGS = {"in_channels": 1, "num_classes": 10, "activation": "ReLU", "log_softmax": False}


class Net(nn.Module):
    """The tutorial's network, written out."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 400)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def images(in_channels: int) -> torch.Tensor:
    return torch.rand(5, in_channels, 32, 32, generator=torch.Generator().manual_seed(0))


def test_config():
    network = OmegaConf.load(Path(__file__).parents[2] / "conf/network/lenet.yaml")
    config = OmegaConf.create({"datamodule": {"num_classes": 7}, "network": network})
    assert instantiate(config.network)(images(3)).shape == (5, 7)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_equals_the_tutorials_network_from_the_same_seed(in_channels):
    torch.manual_seed(0)
    network = LeNet(**{**SETTINGS, "in_channels": in_channels})
    torch.manual_seed(0)
    expected = Net(in_channels)
    torch.testing.assert_close(network(images(in_channels)), expected(images(in_channels)))
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in expected.parameters())


def test_features_and_head():
    network = LeNet(**SETTINGS)
    features = network.features(images(1))
    assert features.shape == (5, 84)
    assert torch.equal(network.head(features), network(images(1)))


def test_log_softmax_with_nll_equals_cross_entropy_on_logits():
    network = LeNet(**SETTINGS)
    log_network = LeNet(**{**SETTINGS, "log_softmax": True})
    log_network.load_state_dict(network.state_dict())
    targets = torch.arange(5)
    cross_entropy = F.cross_entropy(network(images(1)), targets)
    nll = F.nll_loss(log_network(images(1)), targets)
    torch.testing.assert_close(nll, cross_entropy)
    torch.testing.assert_close(
        torch.autograd.grad(nll, list(log_network.parameters())),
        torch.autograd.grad(cross_entropy, list(network.parameters())),
    )


def test_the_activation_is_a_setting():
    network = LeNet(**{**SETTINGS, "activation": "LeakyReLU"})
    assert sum(isinstance(module, nn.LeakyReLU) for module in network.modules()) == 4
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())
