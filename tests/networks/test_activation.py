import pytest
import torch
from torch import nn

from networks.activation import ACTIVATIONS, build_activation


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_every_activation_is_elementwise(name):
    activation = build_activation(name)
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert activation(x).shape == x.shape
    torch.testing.assert_close(activation(x)[1, 2], activation(x[1, 2]))


def test_custom_relu_goes_through_the_hand_written_function():
    output = build_activation("CustomReLU")(torch.tensor([-1.5, 2.0], requires_grad=True))
    assert output.tolist() == [0, 2]
    assert output.grad_fn.name() == "ReLUFunctionBackward"


def test_each_call_builds_a_new_module():
    first, second = build_activation("PReLU"), build_activation("PReLU")
    assert isinstance(first, nn.PReLU)
    assert first is not second


def test_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"unknown activation 'relu'.*CELU.*ReLU.*CustomReLU"):
        build_activation("relu")
