from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from networks.source_encoder import SourceEncoder


def images() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_config():
    network = OmegaConf.load(Path(__file__).parents[2] / "conf/network/source_encoder.yaml")
    config = OmegaConf.create({"datamodule": {"num_classes": 10}, "network": network})
    assert instantiate(config.network)(images()).shape == (2, 10)


def test_layer_by_layer():
    network, x = SourceEncoder(num_classes=10, code_size=50), images()
    conv1, conv2, code = network.features.conv1, network.features.conv2, network.features.code
    h = F.max_pool2d(F.relu(F.conv2d(x, conv1.weight, conv1.bias, padding=2)), 2)
    assert h.shape == (2, 32, 16, 16)
    h = F.max_pool2d(F.relu(F.conv2d(h, conv2.weight, conv2.bias, padding=2)), 2)
    assert h.shape == (2, 64, 8, 8)
    features = F.relu(F.linear(h.flatten(1), code.weight, code.bias))
    assert features.shape == (2, 50)
    torch.testing.assert_close(network.features(x), features)
    torch.testing.assert_close(network(x), F.linear(features, network.head.weight, network.head.bias))


def test_the_layers_are_named():
    network = SourceEncoder(num_classes=10, code_size=50)
    assert isinstance(network.features, nn.Sequential)
    assert [name for name, _ in network.features.named_children()][:3] == ["conv1", "relu1", "pool1"]
