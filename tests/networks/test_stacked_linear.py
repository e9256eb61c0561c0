import pytest
import torch
from torch import Tensor, nn

from networks.stacked_linear import StackedLinear


@pytest.fixture
def layers() -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(5, 3) for _ in range(4)]


def test_each_layer_has_its_own_inputs(layers: list[nn.Linear]) -> None:
    inputs = torch.randn(4, 7, 5)
    expected = torch.stack([layer(own) for layer, own in zip(layers, inputs, strict=True)])
    torch.testing.assert_close(StackedLinear(layers)(inputs), expected)


def test_all_layers_have_the_same_inputs(layers: list[nn.Linear]) -> None:
    inputs = torch.randn(7, 5)
    expected = torch.stack([layer(inputs) for layer in layers])
    torch.testing.assert_close(StackedLinear(layers)(inputs), expected)


def test_sum_of_losses_gives_each_layer_its_own_gradient(layers: list[nn.Linear]) -> None:
    stacked, inputs = StackedLinear(layers), torch.randn(4, 7, 5)

    def loss(outputs: Tensor) -> Tensor:
        return outputs.square().mean()

    sum(loss(outputs) for outputs in stacked(inputs)).backward()
    for number, layer in enumerate(layers):
        loss(layer(inputs[number])).backward()
        for name, parameter in layer.named_parameters():
            gradient = getattr(stacked, name).grad
            assert parameter.grad is not None
            torch.testing.assert_close(gradient[number], parameter.grad)


def test_layers_are_copied(layers: list[nn.Linear]) -> None:
    stacked = StackedLinear(layers)
    with torch.no_grad():
        stacked.weight.zero_()
    assert all(layer.weight.abs().sum() > 0 for layer in layers)
