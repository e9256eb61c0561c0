import re

import pytest
import timm
import torch
from torch import Tensor

from networks.efficientnet_lite import Classifier, EfficientNetLite, Name, imagenet_classifier, weights_file

# Blocks of each stage: timm numbers them stage by stage, the package straight through.
STAGES: dict[Name, tuple[int, ...]] = {
    "efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
}


@pytest.fixture(scope="module", params=STAGES)
def name(request: pytest.FixtureRequest) -> Name:
    name: Name = request.param
    return name


@pytest.fixture(scope="module")
def packaged(name: Name) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(weights_file(name), weights_only=True)
    return {timm_name(entry, STAGES[name]): tensor for entry, tensor in state.items()}


@pytest.fixture(scope="module")
def network(name: Name) -> EfficientNetLite:
    return EfficientNetLite(name=name, num_classes=2, pretrained=True)


def timm_name(name: str, stages: tuple[int, ...]) -> str:
    """The package's name for an entry as timm has it, by what the entry is and not by where it stands."""
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    if (match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)) is None:
        module, entry = name.split(".")
        return f"{outside[module]}.{entry}"
    block, (module, entry) = int(match[1]), match.groups()[1:]
    inverted = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    # The first block does not expand: depthwise and pointwise convolution alone.
    separable = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    stage = 0
    names = separable if block == 0 else inverted
    while block >= stages[stage]:
        block -= stages[stage]
        stage += 1
    return f"blocks.{stage}.{block}.{names[module]}.{entry}"


def test_every_tensor_of_the_package_is_in_its_place_bit_for_bit(name: Name, packaged: dict[str, Tensor]) -> None:
    state = imagenet_classifier(name).state_dict()
    assert packaged.keys() == state.keys()
    for entry, tensor in packaged.items():
        assert state[entry].dtype == tensor.dtype, entry
        assert torch.equal(state[entry], tensor), entry


@pytest.mark.parametrize("size", [64, 97])
@pytest.mark.parametrize("training", [True, False])
def test_draws_outputs_and_gradients_are_timms_to_the_bit(name: Name, size: int, training: bool) -> None:
    torch.manual_seed(0)
    ours, drawn = Classifier(name).train(training), torch.get_rng_state()
    torch.manual_seed(0)
    theirs = timm.create_model(f"tf_{name}").train(training)
    assert torch.equal(drawn, torch.get_rng_state()), "what is drawn afterwards, such as a head, is the same"
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    images = torch.rand(2, 3, size, size) * 2 - 1
    outputs = [network(images) for network in (ours, theirs)]
    assert torch.equal(*outputs)
    both = zip(outputs, (ours, theirs), strict=True)
    gradients = [torch.autograd.grad(output.square().sum(), [*network.parameters()]) for output, network in both]
    assert all(map(torch.equal, *gradients))


def test_whole_network_equals_one_loaded_by_name(name: Name, packaged: dict[str, Tensor]) -> None:
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    by_name = timm.create_model(f"tf_{name}")
    by_name.load_state_dict(packaged)
    with torch.inference_mode():
        logits = imagenet_classifier(name).eval()(images)
        assert torch.equal(logits, by_name.eval()(images))
    assert logits.shape == (2, 1000)


def test_features_are_the_packaged_ones_of_images_from_minus_1_to_1(name: Name, network: EfficientNetLite) -> None:
    whole = imagenet_classifier(name).eval()
    whole.classifier = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval().features(images), whole(images * 2 - 1))


def test_new_head(network: EfficientNetLite) -> None:
    assert network.head.weight.shape == (2, 1280)
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 2)


def test_not_pretrained_is_not_the_packaged_one(name: Name, network: EfficientNetLite) -> None:
    random = EfficientNetLite(name=name, num_classes=2, pretrained=False)
    stem = "backbone.conv_stem.weight"
    assert random.state_dict().keys() == network.state_dict().keys()
    assert not torch.equal(random.state_dict()[stem], network.state_dict()[stem])
