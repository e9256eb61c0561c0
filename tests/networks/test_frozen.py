import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datamodules.drawn_insects import draw_insect
from networks.efficientnet_lite0 import EfficientNetLite0
from networks.frozen import BATCH_SIZE, FrozenBackbone, fold_batchnorm
from networks.pretrained import Pretrained
from networks.resnet18 import ResNet18

SIZE = 64


def settled(network: Pretrained) -> Pretrained:
    """With BatchNorm statistics and scales that are not those of a new network, where folding would change nothing."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.running_mean.shape, generator=generator) * 0.1
            module.running_var = torch.rand(module.running_var.shape, generator=generator) + 0.5
            module.weight.data = torch.rand(module.weight.shape, generator=generator) + 0.5
            module.bias.data = torch.randn(module.bias.shape, generator=generator) * 0.1
    return network


@pytest.fixture(scope="module")
def resnet() -> Pretrained:
    torch.manual_seed(0)
    return settled(ResNet18(num_classes=2, pretrained=False)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2 * BATCH_SIZE + 3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def relative_error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


def features(network: Pretrained, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.features(images)


def count(module: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in module.modules())


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_folded_equals_unfolded(name: str, resnet: Pretrained, images: Tensor) -> None:
    network = resnet if name == "resnet18" else settled(EfficientNetLite0(num_classes=2, pretrained=True)).eval()
    expected = features(network, images[:2])
    folded = fold_batchnorm(copy.deepcopy(network.backbone), images[:1])
    assert count(network.backbone) > 0
    assert count(folded) == 0
    with torch.inference_mode():
        got = folded((images[:2] - network.mean) / network.std)
    assert relative_error(got, expected) < 1e-5


def test_fp32_features_equal_the_plain_networks(resnet: Pretrained, images: Tensor) -> None:
    got = FrozenBackbone(resnet, "32")(images)
    assert got.shape == (len(images), 512)
    assert relative_error(got, features(resnet, images)) < 1e-5


def test_bf16_features_of_pictures_differ_by_six_percent_at_most() -> None:
    """bf16 has 8 bits of mantissa, and its rounding errors add up over the layers; 4 % of the 2-norm, measured."""
    pictures = [draw_insect(insect, np.random.default_rng(0)).resize((224, 224)) for insect in ("ants", "bees")]
    images = torch.stack([torch.from_numpy(np.asarray(p).copy()).permute(2, 0, 1) for p in pictures]) / 255
    network = EfficientNetLite0(num_classes=2, pretrained=True).eval()
    got, expected = FrozenBackbone(network, "bf16")(images), features(network, images)
    assert got.dtype == torch.float32
    assert 0 < float((got - expected).norm() / expected.norm()) < 0.06


def test_threads_are_as_they_were(resnet: Pretrained, images: Tensor) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = FrozenBackbone(resnet, "32")(images)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(two, FrozenBackbone(resnet, "32")(images))


def test_the_network_itself_stays_as_it_was(resnet: Pretrained, images: Tensor) -> None:
    before = copy.deepcopy(resnet.state_dict())
    FrozenBackbone(resnet, "bf16")(images[:1])
    assert all(torch.equal(tensor, before[name]) for name, tensor in resnet.state_dict().items())
    assert all(parameter.requires_grad for parameter in resnet.parameters())


class Shared(nn.Module):
    """A convolution whose output goes to a BatchNorm and, as it is, to the sum as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        convolved = self.conv(images)
        return (self.norm(convolved) + convolved).mean((2, 3))


class Twice(nn.Module):
    """One convolution that is used twice, with a BatchNorm of its own each time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.conv(self.first(self.conv(images)))).mean((2, 3))


@pytest.mark.parametrize("kind", [Shared, Twice])
def test_a_convolution_that_serves_twice_is_left_alone(kind: type[nn.Module], images: Tensor) -> None:
    torch.manual_seed(0)
    network = Pretrained(backbone=kind(), num_features=4, num_classes=2, mean=(0, 0, 0), std=(1, 1, 1))
    network = settled(network).eval()
    before = network.backbone(images[:2])
    folded = fold_batchnorm(network.backbone, images[:1])
    assert count(folded) > 0
    assert torch.equal(folded(images[:2]), before)


def test_unknown_precision(resnet: Pretrained) -> None:
    with pytest.raises(ValueError, match="precision '16' of the features: choose from auto, 32, bf16"):
        FrozenBackbone(resnet, "16")


def test_auto_is_one_of_the_others(resnet: Pretrained) -> None:
    assert FrozenBackbone(resnet, "auto").precision in ("32", "bf16")


def test_key_depends_on_weights_statistics_and_precision(resnet: Pretrained) -> None:
    key = FrozenBackbone(resnet, "32").key
    assert FrozenBackbone(copy.deepcopy(resnet), "32").key == key
    assert FrozenBackbone(resnet, "bf16").key != key
    for name in ("conv1.weight", "bn1.running_var"):
        changed = copy.deepcopy(resnet)
        changed.backbone.state_dict()[name].flatten()[0] += 1e-3
        assert FrozenBackbone(changed, "32").key["weights"] != key["weights"]
    otherwise = copy.deepcopy(resnet)
    otherwise.mean += 0.1
    assert FrozenBackbone(otherwise, "32").key["weights"] != key["weights"]


def test_key_does_not_depend_on_the_head(resnet: Pretrained) -> None:
    changed = copy.deepcopy(resnet)
    changed.head.weight.data += 1
    assert FrozenBackbone(changed, "32").key == FrozenBackbone(resnet, "32").key
