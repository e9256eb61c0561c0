from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class StackedLinear(nn.Module):
    """L linear layers of the same shape in parallel: `weight` (L, out, in) and `bias` (L, out), copied from `layers`.

    If the loss is a sum over the layers, each gets the same gradient as if it were trained alone.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (L, N, out) for inputs (L, N, in), one set per layer, or (N, in), shared by all layers."""
        if inputs.ndim == 2:
            flat = linear(inputs, self.weight.flatten(0, 1), self.bias.flatten())
            return flat.unflatten(1, self.bias.shape).transpose(0, 1)
        # With few outputs, weight · inputsᵀ takes half the time of inputs · weightᵀ, forward and backward.
        return torch.baddbmm(self.bias[:, :, None], self.weight, inputs.mT).mT
