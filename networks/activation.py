from torch import Tensor, nn

from functional.relu import relu


class CustomReLU(nn.Module):
    """max(x, 0) through the hand-written autograd function of functional/relu.py."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    activation.__name__: activation
    for activation in (
        nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU, nn.Mish, nn.PReLU, nn.ReLU,
        nn.ReLU6, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Softsign, nn.Tanh, CustomReLU,
    )
}  # fmt: skip


def build_activation(name: str) -> nn.Module:
    """A new elementwise activation by class name, with torch's defaults. Raises ValueError for an unknown name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose from {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()
