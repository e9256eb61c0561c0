from collections.abc import Callable
from typing import Any

from torch import nn

INITIALIZERS: dict[str, Callable[..., Any]] = {
    "kaiming_normal": nn.init.kaiming_normal_,  # std √(2 / fan_in): He et al. 2015, equation 10
    "kaiming_uniform": nn.init.kaiming_uniform_,  # the same std
    "xavier_normal": nn.init.xavier_normal_,  # std √(2 / (fan_in + fan_out)): Glorot & Bengio 2010, equation 12
    "xavier_uniform": nn.init.xavier_uniform_,  # the same std: equation 16
    "orthogonal": nn.init.orthogonal_,  # Saxe et al. 2013
    "normal": nn.init.normal_,  # std 1, as torch.randn
}


def initialize(network: nn.Module, name: str | None) -> None:
    """Initializes the weights of all linear layers and convolutions in place, and sets their biases to zero.

    Other layers (normalization, embeddings) and frozen ones are unchanged; with None, all are. Uses torch's global
    generator. ValueError for an unknown name.
    """
    if name is None:
        return
    if name not in INITIALIZERS:
        raise ValueError(f"unknown initialization {name!r}; choose from {', '.join(INITIALIZERS)}, or null")
    initializer = INITIALIZERS[name]

    def initialize_layer(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and module.weight.requires_grad:
            initializer(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    network.apply(initialize_layer)
