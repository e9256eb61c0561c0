from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from callbacks.whitening import Whitening
from networks.airbench import Airbench


@pytest.fixture
def network() -> Airbench:
    return Airbench(num_classes=10, widths=[4, 4], batchnorm_momentum=0.6, whitening_eps=1e-6, logit_divisor=9, views=1)


def start(network: Airbench, images: torch.Tensor, ckpt_path: Path | None) -> None:
    datamodule = SimpleNamespace(normalized_training_images=lambda limit: images[:limit])
    trainer: Any = SimpleNamespace(ckpt_path=ckpt_path, datamodule=datamodule)
    module: Any = SimpleNamespace(network=network, device=torch.device("cpu"))
    Whitening(max_images=50, bias_epochs=3).on_fit_start(trainer, module)


def test_a_fresh_training_starts_with_the_whitening_of_its_images(network):
    images = F.avg_pool2d(torch.randn(60, 3, 33, 33, generator=torch.Generator().manual_seed(0)), 2, stride=1)
    start(network, images, None)
    responses = F.conv2d(images[:50], network.whitening.weight.detach())
    responses = responses[:, :12].transpose(0, 1).flatten(1).double()
    moments = responses @ responses.T / responses.shape[1]
    torch.testing.assert_close(moments, torch.eye(12, dtype=torch.float64), atol=1e-3, rtol=0)


def test_a_resumed_training_keeps_its_own(network):
    before = network.whitening.weight.clone()
    start(network, torch.randn(60, 3, 32, 32), Path("last.ckpt"))
    assert torch.equal(network.whitening.weight, before)


def test_the_bias_is_trained_in_the_first_epochs_alone(network):
    callback = Whitening(max_images=50, bias_epochs=3)
    module: Any = SimpleNamespace(network=network)
    trained = []
    for epoch in (0, 2, 3, 7):
        trainer: Any = SimpleNamespace(current_epoch=epoch)
        callback.on_train_epoch_start(trainer, module)
        trained.append(network.whitening.bias.requires_grad)
    assert trained == [True, True, False, False]
    assert not network.whitening.weight.requires_grad
