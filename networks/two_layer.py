from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from functional.linear import linear
from networks.activation import build_activation


class CustomLinear(nn.Linear):
    """nn.Linear, computed by the hand-written autograd function of functional/linear.py."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class TwoLayerNet(nn.Module):
    """y = W₂ a(W₁ x + b₁) + b₂: (N, d_in) → (N, hidden) → (N, d_out).

    Source: J. Johnson, "Learning PyTorch with Examples". With bias=False, activation="CustomReLU" and initialization
    "normal", it equals the tutorial's `x.mm(w1)`, `MyReLU`, `.mm(w2)` with randn weights (W₁ = w1ᵀ, W₂ = w2ᵀ).

    Args:
        d_in, hidden, d_out: widths of input, hidden layer and output.
        bias: whether the layers have biases b.
        activation: the function a, a name in networks/activation.py.
        custom_linear: compute the layers with the hand-written `LinearFunction`.
    """

    def __init__(
        self,
        *,
        d_in: int,
        hidden: Annotated[int, Ge(1)],
        d_out: int,
        bias: bool,
        activation: str,
        custom_linear: bool,
    ) -> None:
        super().__init__()
        layer = CustomLinear if custom_linear else nn.Linear
        self.linear1 = layer(d_in, hidden, bias=bias)
        self.activation = build_activation(activation)
        self.linear2 = layer(hidden, d_out, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.activation(self.linear1(x)))


def two_layer_sequential(*, d_in: int, hidden: Annotated[int, Ge(1)], d_out: int, activation: str) -> nn.Sequential:
    """The same network as a plain nn.Sequential: (N, d_in) → (N, hidden) → (N, d_out)."""
    return nn.Sequential(nn.Linear(d_in, hidden), build_activation(activation), nn.Linear(hidden, d_out))
