from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from functional.multi_crop import multi_crop
from networks.airbench import Airbench

CONFIG = Path(__file__).parents[2] / "conf/network/airbench.yaml"


def build(**overrides) -> Airbench:
    torch.manual_seed(0)
    network = OmegaConf.merge(OmegaConf.load(CONFIG), overrides)
    return instantiate(OmegaConf.create({"network": network, "datamodule": {"num_classes": 10}}).network)


def images(count: int = 16) -> Tensor:
    noise = torch.randn(count, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(noise, 2, stride=1)


def test_config_builds_the_published_network():
    network = build()
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    convolutions = {f"groups.{group}.conv{conv}.weight" for group in range(3) for conv in (1, 2)}
    biases = {f"groups.{group}.norm{norm}.bias" for group in range(3) for norm in (1, 2)}
    assert trainable == {"whitening.bias", "head.weight"} | convolutions | biases
    widths = (24, 64, 256, 256)
    expected = 24 + 10 * 256 + sum(9 * o * (i + o) + 2 * o for i, o in pairwise(widths))
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == expected
    assert network(images(2)).shape == (2, 10)


def test_training_logits_follow_the_formula():
    network = build().train()
    x = images()
    h = F.gelu(F.conv2d(x, network.whitening.weight, network.whitening.bias))
    for group in network.groups:
        h = F.max_pool2d(F.conv2d(h, group.conv1.weight, padding=1), 2)
        h = F.gelu(F.batch_norm(h, None, None, bias=group.norm1.bias, training=True, eps=1e-12))
        h = F.conv2d(h, group.conv2.weight, padding=1)
        h = F.gelu(F.batch_norm(h, None, None, bias=group.norm2.bias, training=True, eps=1e-12))
    assert h.shape == (16, 256, 3, 3)
    torch.testing.assert_close(network(x), F.max_pool2d(h, 3).flatten(1) @ network.head.weight.T / 9)


def test_whitened_patches_have_the_identity_as_second_moments():
    network, x = build(whitening_eps=0.0), images(100)
    network.whiten(x)
    with torch.no_grad():
        responses = network.whitening(x).transpose(0, 1).flatten(1)
    assert torch.equal(responses[12:], -responses[:12])
    moments = responses[:12].double() @ responses[:12].T.double() / responses.shape[1]
    torch.testing.assert_close(moments, torch.eye(12).double(), atol=1e-4, rtol=0)
    assert not network.whitening.weight.requires_grad


def test_convolutions_start_as_the_identity():
    conv = build().groups[0].conv1
    x = torch.randn(2, 24, 5, 5)
    torch.testing.assert_close(conv(x)[:, :24], x)
    assert conv(x)[:, 24:].std() > 0.1


def test_running_statistics_keep_the_given_share():
    network = build(batchnorm_momentum=0.6).train()
    norm = network.groups[0].norm1
    assert isinstance(norm, nn.BatchNorm2d)
    norm(torch.full((2, 64, 3, 3), 2.0))
    torch.testing.assert_close(norm.running_mean, torch.full((64,), 0.4 * 2))
    assert not norm.weight.requires_grad


@pytest.mark.parametrize("views", [1, 6])
def test_evaluation_averages_the_views(views):
    network, x = build(views=views).eval(), images(4)
    with torch.no_grad():
        torch.testing.assert_close(network(x), multi_crop(network.logits, x, views=views))


def test_trains_in_bf16_and_channels_last():
    network = build().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(network(images().contiguous(memory_format=torch.channels_last)), torch.arange(16) % 10)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert not parameter.requires_grad or parameter.grad.isfinite().all(), name
