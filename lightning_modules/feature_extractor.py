"""Training a new head on a frozen backbone."""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.classifier import Classifier


class FeatureExtractor(Classifier):
    """A Classifier whose backbone is frozen altogether: no gradients, and its BatchNorm statistics stand still.

    `requires_grad=False` alone would leave BatchNorm's running statistics moving, so the backbone also stays in eval
    mode throughout. The network needs `features(images)`, a `backbone` and a `head` (networks/pretrained.py).
    """

    def __init__(self, **classifier: Any) -> None:
        super().__init__(**classifier)
        self.network.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureExtractor":
        super().train(mode)
        self.network.backbone.eval()
        return self

    def trainable(self) -> nn.Module:
        head: nn.Module = self.network.head
        return head

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, 3, H, W), or of their features (N, num_features) from the cache."""
        if inputs.ndim == 4:
            with torch.no_grad():
                inputs = self.network.features(inputs)
        logits: Tensor = self.network.head(inputs)
        return logits
