"""ResNet-18 (He et al. 2015, arXiv 1512.03385) with torchvision's ImageNet weights."""

import sys
from pathlib import Path

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from engine.errors import WeightsError
from engine.process.activity import is_live
from networks.pretrained import IMAGENET_MEAN, IMAGENET_STD, Pretrained, require_reachable


class ResNet18(Pretrained):
    """torchvision's ResNet-18 up to its 512 pooled features, with a new linear head.

    Raises WeightsError if `pretrained` and the weights are neither cached nor downloadable.
    """

    def __init__(self, *, num_classes: int, pretrained: bool) -> None:
        backbone = resnet18()
        if pretrained:
            backbone.load_state_dict(_imagenet_state())
        backbone.fc = nn.Identity()
        super().__init__(
            backbone=backbone, num_features=512, num_classes=num_classes, mean=IMAGENET_MEAN, std=IMAGENET_STD
        )


def _imagenet_state() -> dict[str, torch.Tensor]:
    """The state dict from torch.hub's cache, or downloaded to it and checked against the hash in its name."""
    url = ResNet18_Weights.IMAGENET1K_V1.url
    cached = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    try:
        if not cached.exists():
            require_reachable(url)
        state: dict[str, torch.Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=is_live(sys.stderr), check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"ResNet-18's ImageNet weights are not in {cached}; {url} failed: {error}") from error
    return state
