from typing import Any

from torch import Tensor
from torch.autograd import Function


class LinearFunction(Function):
    """y = x Wᵀ + b with hand-written derivatives, for x (..., D), W (K, D), b (K,) or None, and y (..., K).

    With G = ∂L/∂y: ∂L/∂x = G W, ∂L/∂W = Gᵀ x and ∂L/∂b = Σ G; the last two sum over all leading dimensions. Gradients
    that are not needed are not computed, and tensors that only they would need are not saved.

    Source: PyTorch's notes, "Extending torch.autograd". Departure: any number of leading dimensions.
    """

    @staticmethod
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        output = input @ weight.T
        return output if bias is None else output + bias

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], _output: Tensor) -> None:
        input, weight, _ = inputs
        needs_input, needs_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(input if needs_weight else None, weight if needs_input else None)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        input, weight = ctx.saved_tensors
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad
        rows = grad_output.reshape(-1, grad_output.shape[-1])
        grad_input = grad_output @ weight if needs_input else None
        grad_weight = rows.T @ input.reshape(-1, input.shape[-1]) if needs_weight else None
        grad_bias = rows.sum(0) if needs_bias else None
        return grad_input, grad_weight, grad_bias


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input (..., D) · weightᵀ (D, K) + bias (K,) if given, through `LinearFunction`: (..., K)."""
    return LinearFunction.apply(input, weight, bias)
