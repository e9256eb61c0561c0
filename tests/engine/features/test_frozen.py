import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules.stand_ins.insects import draw_insect
from engine.features.frozen import BATCH_SIZE, FrozenBackbone
from networks.efficientnet_lite import EfficientNetLite
from networks.pretrained import Pretrained
from networks.resnet18 import ResNet18
from tests.batchnorm import relative_error, settled

SIZE = 64


@pytest.fixture(scope="module")
def resnet() -> Pretrained:
    torch.manual_seed(0)
    return settled(ResNet18(num_classes=2, pretrained=False)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2 * BATCH_SIZE["cpu"] + 3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def features(network: Pretrained, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.features(images)


def test_fp32_features_equal_the_plain_networks(resnet: Pretrained, images: Tensor) -> None:
    got = FrozenBackbone(resnet, "32")(images)
    assert got.shape == (len(images), 512)
    assert relative_error(got, features(resnet, images)) < 1e-5


def test_bf16_features_of_pictures_differ_by_six_percent_at_most() -> None:
    """bf16 has 8 bits of mantissa, and its rounding errors add up over the layers; 4 % of the 2-norm, measured."""
    pictures = [draw_insect(insect, np.random.default_rng(0)).resize((224, 224)) for insect in ("ants", "bees")]
    images = torch.stack([torch.from_numpy(np.asarray(p).copy()).permute(2, 0, 1) for p in pictures]) / 255
    network = EfficientNetLite(name="efficientnet_lite0", num_classes=2, pretrained=True).eval()
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
