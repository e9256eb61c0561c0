import pytest
import torch
from torch import Tensor, nn

from engine.speed.depthwise import FastDepthwiseGradients

CHANNELS_LAST = torch.channels_last


def gradients(layer: nn.Conv2d, x: Tensor, *, fast: bool, low: bool = False) -> list[Tensor]:
    """Of the input and the layer's parameters; `low`: in bfloat16."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad()
    if fast:
        with FastDepthwiseGradients(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            y = layer(x)
        assert "Depthwise" in y.grad_fn.name()
    else:
        y = layer(x)
    assert y.dtype == (torch.bfloat16 if low else x.dtype)
    (y.float() * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
    return [leaf.grad.clone() for leaf in (x, *layer.parameters())]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [
        (3, 1, 1, (14, 9)),
        (3, 2, 1, (14, 9)),
        (5, 1, 2, (14, 9)),
        (5, 2, 2, (14, 9)),
        (5, 2, 0, (15, 12)),
        (7, 1, 3, (9, 9)),
        (7, 3, 1, (16, 13)),
        ((3, 5), (1, 2), (0, 1), (8, 11)),
        (5, 1, 6, (4, 4)),
        (1, 1, 0, (3, 3)),
        (4, 1, 1, (7, 8)),
    ],
)
def test_gradients_are_torchs_own(kernel, stride, padding, size, bias: bool) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, kernel, stride, padding, groups=8, bias=bias)
    x = torch.randn(2, 8, *size).contiguous(memory_format=CHANNELS_LAST)
    fast = gradients(layer, x, fast=True)
    exact = gradients(layer.double(), x.double(), fast=False)
    for gradient, expected in zip(fast, exact, strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, expected.float(), rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("memory_format", [CHANNELS_LAST, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "stride", "bias"),
    [(3, 1, False), (5, 2, True), (5, 1, False), (3, 2, False), (5, 3, False), (1, 2, True)],
)
def test_in_bfloat16_they_are_those_of_float32_up_to_rounding(
    kernel: int, stride: int, bias: bool, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=bias)
    x = torch.randn(2, 8, 14, 14).contiguous(memory_format=memory_format)
    # bfloat16 keeps 8 bits: relative to the largest entry the rounding of inputs and outputs stays within 2 %.
    for low, full in zip(gradients(layer, x, fast=True, low=True), gradients(layer, x, fast=False), strict=True):
        assert low.dtype == torch.float32
        assert (low - full).abs().max() < 0.02 * full.abs().max()


@pytest.mark.parametrize(
    ("layer", "memory_format", "low"),
    [
        (nn.Conv2d(8, 8, 3, groups=2), CHANNELS_LAST, True),
        (nn.Conv2d(8, 8, 3), CHANNELS_LAST, False),
        (nn.Conv2d(8, 16, 3, groups=8), CHANNELS_LAST, True),
        (nn.Conv2d(8, 8, 3, groups=8, dilation=2), CHANNELS_LAST, False),
        (nn.Conv2d(8, 8, 3, groups=8, padding="same"), CHANNELS_LAST, False),
        (nn.Conv2d(8, 8, 3, groups=8), torch.contiguous_format, False),
        (nn.Conv2d(8, 8, 3, groups=8).double(), CHANNELS_LAST, False),
    ],
)
def test_other_convolutions_are_left_alone(layer: nn.Conv2d, memory_format: torch.memory_format, low: bool) -> None:
    x = torch.randn(1, 8, 6, 6, dtype=layer.weight.dtype).contiguous(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        expected = layer(x)
        with FastDepthwiseGradients():
            assert torch.equal(layer(x), expected)
            assert layer(x).grad_fn.name() == expected.grad_fn.name()


def test_without_gradients_nothing_changes() -> None:
    layer, x = nn.Conv2d(8, 8, 3, groups=8), torch.randn(1, 8, 6, 6).contiguous(memory_format=CHANNELS_LAST)
    with torch.no_grad(), FastDepthwiseGradients():
        assert layer(x).grad_fn is None
