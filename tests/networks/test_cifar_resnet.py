from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from networks.cifar_resnet import CifarResNet, ResidualBlock

CONFIG = Path(__file__).parents[2] / "conf/network/cifar_resnet.yaml"


def test_config_builds_resnet18():
    config = OmegaConf.create({"network": OmegaConf.load(CONFIG), "datamodule": {"num_classes": 10}})
    network = instantiate(config.network)
    # 11,689,512 of torchvision's ResNet-18, with a 3×3 first convolution (it has 7×7) and 10 outputs (it has 1,000).
    assert sum(p.numel() for p in network.parameters()) == 11_689_512 - 64 * 3 * (49 - 9) - 990 * 513
    assert len([m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]) == 18 + 3  # 3 in shortcuts


def test_shapes_and_resolution():
    network = CifarResNet(num_classes=7, width=4, blocks=[1, 2, 1])
    x = torch.randn(2, 3, 32, 32)
    assert network(x).shape == (2, 7)
    assert network.blocks(network.stem(x)).shape == (2, 16, 8, 8)


def test_block_follows_the_formula():
    block = ResidualBlock(3, 5, stride=2).eval()
    x = torch.randn(2, 3, 8, 8)
    scale = (1 + block.norm1.eps) ** -0.5  # of a norm in its initial state
    residual = F.conv2d(x, block.conv1.weight, stride=2, padding=1).mul(scale).relu()
    residual = F.conv2d(residual, block.conv2.weight, padding=1).mul(scale)
    shortcut = F.conv2d(x, block.shortcut[0].weight, stride=2).mul(scale)
    torch.testing.assert_close(block(x), (residual + shortcut).relu())
