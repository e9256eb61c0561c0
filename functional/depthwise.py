"""Depthwise convolution in bfloat16 on the CPU, with the gradients that oneDNN is slow at taken in float32.

Measured with torch 2.14 on one core with AVX512-BF16, batch 4, channels-last: the weight gradient of a 5×5 depthwise
convolution takes 14 to 30 ms in bfloat16 and 4 to 8 ms in float32, the input gradient of one with stride 2 takes 40 ms
and 1 to 4 ms. Forward and all other gradients are faster in bfloat16.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode


class DepthwiseConv2d(Function):
    """conv2d of x (N, C, H, W) with weight (C, 1, kH, kW), in bfloat16, its gradients in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
    ) -> Tensor:
        x, low = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        ctx.geometry = (stride, padding, dilation)
        ctx.bias_size = None if bias is None else [len(bias)]
        with torch.autocast("cpu", enabled=False):
            return torch.conv2d(
                x, low, None if bias is None else bias.bfloat16(), stride, padding, dilation, len(weight)
            )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        needed = [
            ctx.needs_input_grad[0],
            ctx.needs_input_grad[1],
            ctx.bias_size is not None and ctx.needs_input_grad[2],
        ]
        grads = torch.ops.aten.convolution_backward(
            grad.float(),
            x.float(),
            weight.float(),
            ctx.bias_size,
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            len(weight),
            needed,
        )
        grad_x = None if grads[0] is None else grads[0].bfloat16()
        return grad_x, grads[1], grads[2], None, None, None


class Float32DepthwiseGradients(TorchFunctionMode):
    """Inside, depthwise convolutions that autocast takes to bfloat16 on the CPU have their gradients in float32.

    A mode rather than a layer, so that it serves any network as it is.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and not kwargs and _is_slow(*args):
            x, weight, bias, stride, padding, dilation = args[:6]
            return DepthwiseConv2d.apply(x, weight, bias, list(stride), list(padding), list(dilation))
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
    return (
        groups > 1
        and groups == weight.shape[0] == x.shape[1]
        and x.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and all(isinstance(geometry, tuple | list) for geometry in (stride, padding, dilation))
    )
