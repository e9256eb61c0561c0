import pytest
import torch
from torch import nn

from functional.depthwise import Float32DepthwiseGradients


def gradients(layer: nn.Conv2d, x: torch.Tensor, *, low: bool) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with Float32DepthwiseGradients(), torch.autocast("cpu", torch.bfloat16, enabled=low):
        y = layer(x)
    assert y.dtype == (torch.bfloat16 if low else torch.float32)
    (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return [x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize(("kernel", "stride", "bias"), [(3, 1, False), (5, 2, True), (3, 2, False)])
def test_gradients_are_those_of_float32_up_to_the_rounding_of_the_inputs(kernel: int, stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=bias)
    x = torch.randn(2, 8, 14, 14)
    # bfloat16 keeps 8 bits: relative to the largest entry the rounding of inputs and outputs stays within 2 %.
    for low, full in zip(gradients(layer, x, low=True), gradients(layer, x, low=False), strict=True):
        assert low.dtype == torch.float32
        assert (low - full).abs().max() < 0.02 * full.abs().max()


def test_weight_gradient_is_not_rounded_to_bfloat16() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
    grad = gradients(layer, torch.randn(2, 8, 14, 14), low=True)[1]
    assert not torch.equal(grad, grad.bfloat16().float())


def test_other_convolutions_are_left_alone() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(8, 8, 3, groups=2), torch.randn(1, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layer(x)
        with Float32DepthwiseGradients():
            assert torch.equal(layer(x), expected)
            assert layer(x).grad_fn.name() == expected.grad_fn.name()
