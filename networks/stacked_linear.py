from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class StackedLinear(nn.Module):
    """L linear layers of one shape side by side: `weight` (L, out, in) and `bias` (L, out), copied from `layers`.

    A loss that is a sum over the layers gives each the gradient of a training of its own.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (L, N, out) of inputs (L, N, in), each layer's own, or (N, in), the same for all layers."""
        if inputs.ndim == 2:
            flat = linear(inputs, self.weight.flatten(0, 1), self.bias.flatten())
            return flat.unflatten(1, self.bias.shape).transpose(0, 1)
        # Measured with few outputs: weight · inputsᵀ takes half the time of inputs · weightᵀ, forward and backward.
        return torch.baddbmm(self.bias[:, :, None], self.weight, inputs.mT).mT
