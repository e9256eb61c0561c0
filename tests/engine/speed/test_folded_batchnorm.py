import copy
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from engine.speed.folded_batchnorm import FoldedBatchNorm, fold_batchnorm
from networks.efficientnet_lite import EfficientNetLite
from networks.resnet18 import ResNet18
from tests.batchnorm import relative_error, settled

SIZE = 32


class Shared(nn.Module):
    """A convolution whose output goes to a BatchNorm and, unchanged, to the sum."""

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


class Plain(nn.Module):
    """A convolution with a bias and one in groups, each with its BatchNorm, the first without weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4, affine=False)
        self.second, self.other = nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        return self.other(self.second(self.norm(self.first(images)).relu_())).mean((2, 3))


NETWORKS = {
    "plain": Plain,
    "resnet18": lambda: ResNet18(num_classes=2, pretrained=False),
    "efficientnet_lite0": lambda: EfficientNetLite(name="efficientnet_lite0", num_classes=2, pretrained=True),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return settled(NETWORKS[request.param]()).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_folded_for_good_it_is_the_same_function(network: nn.Module, images: Tensor) -> None:
    folded = fold_batchnorm(copy.deepcopy(network), images[:1])
    assert norms(network)
    assert not norms(folded)
    with torch.no_grad():
        assert relative_error(folded(images), network(images)) < 1e-5


def test_folded_in_each_pass_it_has_the_same_gradients(network: nn.Module, images: Tensor) -> None:
    network = network.double().requires_grad_()
    folding = FoldedBatchNorm(network, images[:1])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 1.01  # as after a step: what is folded are the parameters as they are now
    results = {}
    for name in ("unfolded", "folded"):
        inputs = images.double().requires_grad_()
        with folding if name == "folded" else nullcontext():
            outputs = network(inputs)
        leaves = [inputs, *network.parameters()]
        results[name] = outputs.detach(), *torch.autograd.grad(outputs.square().sum(), leaves)
    for got, expected in zip(results["folded"], results["unfolded"], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-9 * float(expected.abs().max()))


def test_every_pass_over_activations_is_spared(network: nn.Module, images: Tensor) -> None:
    folding = FoldedBatchNorm(network, images[:1])
    with torch.profiler.profile() as profile, folding:
        network(images)
    assert "aten::conv2d" in {event.key for event in profile.key_averages()}
    assert "aten::batch_norm" not in {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("kind", [Shared, Twice])
def test_a_convolution_that_serves_twice_is_left_alone(kind: type[nn.Module], images: Tensor) -> None:
    torch.manual_seed(0)
    network = settled(kind()).eval()
    expected = network(images)
    with FoldedBatchNorm(network, images[:1]):
        assert torch.equal(network(images), expected)
    folded = fold_batchnorm(copy.deepcopy(network), images[:1])
    assert len(norms(folded)) == len(norms(network))
    assert torch.equal(folded(images), expected)


def test_what_learns_its_statistics_is_left_alone(images: Tensor) -> None:
    torch.manual_seed(0)
    network = settled(Plain())
    network.norm.eval()
    reference = copy.deepcopy(network)
    with FoldedBatchNorm(network, images[:1]):
        outputs = network(images)
    torch.testing.assert_close(outputs, reference(images))
    for name, tensor in reference.other.state_dict().items():
        torch.testing.assert_close(network.other.state_dict()[name], tensor)
    assert network.other.num_batches_tracked == 1


def test_looking_at_the_network_leaves_no_trace(network: nn.Module, images: Tensor) -> None:
    network.train()
    norms(network)[0].eval()
    modes = [module.training for module in network.modules()]
    state, drawn = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    with torch.autocast("cpu", torch.bfloat16):
        FoldedBatchNorm(network, images[:1])
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_what_keeps_no_statistics_is_left_alone(images: Tensor) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    expected = network(images)
    with FoldedBatchNorm(network, images[:1]):
        assert torch.equal(network(images), expected)
    assert torch.equal(fold_batchnorm(copy.deepcopy(network), images[:1])(images), expected)
