"""Base of the pretrained networks: normalization, a backbone up to its pooled features, and a new head."""

import urllib.request
from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def require_reachable(url: str) -> None:
    """Raises OSError within seconds if `url` is unreachable; the libraries' downloads would retry for a minute."""
    urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5).close()


class Pretrained(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → backbone → features (N, num_features) → head → logits (N, num_classes).

    The network itself normalizes the images as its weights require, so the data does not depend on the network.
    """

    mean: Tensor
    std: Tensor
    head: nn.Linear

    def __init__(
        self, *, backbone: nn.Module, num_features: int, num_classes: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(num_features, num_classes)
        # Constants of the architecture, so not part of the state dict.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (N, num_features) of images (N, 3, H, W) in [0, 1]."""
        features: Tensor = self.backbone((images - self.mean) / self.std)
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits
