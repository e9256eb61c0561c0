"""Gradients of depthwise convolutions on the CPU, computed with operations that are fast in oneDNN.

Backward pass of EfficientNet-Lite0's 16 depthwise convolutions, measured with torch 2.14 on 2 cores with AVX512-BF16,
batch 4, channels-last: torch's own takes 24 ms in float32 and 142 to 156 ms in bfloat16, this one 18 to 25 ms and
14 to 20 ms.
oneDNN is slow for the weight gradient of a 5×5 kernel (2 to 3 ms per layer in float32, 6 to 14 ms in bfloat16), and for
the input gradient in bfloat16 with stride 2 (8 to 25 ms).
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Pair = list[int]

LARGEST_FAST = 3  # the largest kernel size for which oneDNN computes the weight gradient fast


class DepthwiseConv2d(Function):
    """conv2d of x (N, C, H, W) with weight (C, 1, kH, kW) and bias (C,), in x's precision."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(x, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        return (
            input_gradient(grad, x, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None,
            weight_gradient(grad, x, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[1] else None,
            grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
            None,
        )


def input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Gradient of x (N, C, H, W): `grad`, dilated by the stride, is convolved with the flipped kernel."""
    kernel = weight.shape[2:]
    around = [size - 1 - pad for size, pad in zip(kernel, padding, strict=True)]
    # With a stride, torch's own gradient is faster than this in float32.
    if min(around) < 0 or (stride != [1, 1] and x.dtype == torch.float32):
        gradient = _backward(grad.float(), x.float(), weight.float(), stride, padding, inputs=True)
        return gradient.to(x.dtype)
    if stride != [1, 1]:
        steps = [side + 2 * pad - size + 1 for side, pad, size in zip(x.shape[2:], padding, kernel, strict=True)]
        spread = torch.empty((*grad.shape[:2], *steps), dtype=grad.dtype, memory_format=torch.channels_last).zero_()
        spread[..., :: stride[0], :: stride[1]] = grad
        grad = spread
    return torch.conv2d(grad, weight.flip(2, 3), None, 1, around, 1, len(weight))


def weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Gradient of weight (C, 1, kH, kW); large kernels are computed in parts of at most 3×3."""
    size = weight.shape[2:]
    if max(size) <= LARGEST_FAST:
        return _backward(grad, x, weight, stride, padding, inputs=False)
    part = [min(side, LARGEST_FAST) for side in size]
    # Size of the region of the padded input that a part of the kernel covers over all outputs.
    window = [step * (out - 1) + side for step, out, side in zip(stride, grad.shape[2:], part, strict=True)]
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    gradient = torch.empty_like(weight)
    for top, left in product(_starts(size[0]), _starts(size[1])):
        seen = padded[:, :, top : top + window[0], left : left + window[1]]
        here = (..., slice(top, top + part[0]), slice(left, left + part[1]))
        seen = seen.contiguous(memory_format=torch.channels_last)
        gradient[here] = _backward(grad, seen, weight[here], stride, [0, 0], inputs=False)
    return gradient


def _starts(size: int) -> list[int]:
    """Offsets of the parts of LARGEST_FAST that cover one side of a kernel; the last two parts may overlap."""
    return [*range(0, size - LARGEST_FAST, LARGEST_FAST), max(0, size - LARGEST_FAST)]


def _backward(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, *, inputs: bool) -> Tensor:
    """torch's own gradient of the inputs, or of the weights."""
    wanted = [inputs, not inputs, False]
    geometry = (None, stride, padding, [1, 1], False, [0, 0], len(weight))
    gradients = torch.ops.aten.convolution_backward(grad, x, weight, *geometry, wanted)
    gradient: Tensor = gradients[0 if inputs else 1]
    return gradient


class FastDepthwiseGradients(TorchFunctionMode):
    """Uses `DepthwiseConv2d` for depthwise convolutions on the CPU that are channels-last or autocast to bfloat16.

    A mode instead of a layer, so any network can use it unchanged.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and not kwargs and _is_slow(*args):
            x, weight, bias, stride, padding = args[:5]
            if torch.is_autocast_enabled("cpu"):
                x, weight, bias = x.bfloat16(), weight.bfloat16(), None if bias is None else bias.bfloat16()
            with torch.autocast("cpu", enabled=False):
                return DepthwiseConv2d.apply(x, weight, bias, list(stride), list(padding))
        return func(*args, **(kwargs or {}))


def _is_slow(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    if not (
        groups > 1
        and groups == weight.shape[0] == x.shape[1]
        and x.device.type == "cpu"
        and x.ndim == 4
        and torch.is_grad_enabled()
        and all(isinstance(geometry, tuple | list) for geometry in (stride, padding, dilation))
        and tuple(dilation) == (1, 1)
    ):
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.dtype == weight.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)
