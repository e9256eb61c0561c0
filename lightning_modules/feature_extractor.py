"""Training a new head on a frozen backbone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.checkpoints.checkpoint_io import name_also
from engine.speed.shared_backbone import of_shared
from lightning_modules.classifier import Classifier
from networks.pretrained import Pretrained

BACKBONE = "network.backbone."
COMPUTING = ("compute", "compared", "forward")
"""Methods that compute the loss of a batch."""


class FeatureExtractor(Classifier):
    """A Classifier with a frozen backbone: it gets no gradients, and its BatchNorm statistics do not change.

    `requires_grad=False` does not stop BatchNorm from updating its running statistics, so the backbone also stays in
    eval mode. The network needs `features(images)`, a `backbone` and a `head` (networks/pretrained.py).

    Checkpoints do not contain the backbone, which is written once, to `backbone.ckpt` in the same folder.
    """

    cross_validator = "cross_validator"
    """The procedure in conf/lightning_module/ that trains many such heads, each with different photos held out."""

    network: Pretrained

    def __init__(self, *, network: Pretrained, **classifier: Any) -> None:
        if not hasattr(network, "backbone"):
            raise TypeError(f"network: {type(network).__name__} has no backbone to freeze (networks/pretrained.py).")
        network.backbone.requires_grad_(False)  # before `init` initializes the trainable weights
        super().__init__(network=network, **classifier)

    def train(self, mode: bool = True) -> "FeatureExtractor":
        if self.network.backbone.training or self.freeze_batchnorm:
            super().train(mode)
            self.network.backbone.eval()
            return self
        # A backbone in eval mode stays in it: visiting its hundreds of modules takes as long as a head's epoch.
        self.training = self.network.training = mode
        for part in self._but_backbone():
            part.train(mode)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self._but_backbone():
            part.zero_grad(set_to_none)
        for parameter in (*self.parameters(recurse=False), *self.network.parameters(recurse=False)):
            parameter.grad = None

    def _but_backbone(self) -> Iterator[nn.Module]:
        """The children of this module and of its network, except the backbone."""
        yield from (part for part in self.children() if part is not self.network)
        yield from (part for part in self.network.children() if part is not self.network.backbone)

    def trainable(self) -> nn.Module:
        return self.network.head

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, 3, H, W), or of their features (N, num_features) from the cache."""
        if inputs.ndim == 4:
            with torch.no_grad():
                inputs = self.network.features(self.laid_out(inputs))
        logits: Tensor = self.network.head(inputs)
        return logits

    def linear_layer(self) -> nn.Module | None:
        """The head, if the loss depends only on its outputs for cached features; None if a subclass changes that."""
        as_here = all(getattr(type(self), name) is getattr(FeatureExtractor, name) for name in COMPUTING)
        return self.network.head if as_here and self.mix is None else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        backbone = Path(self.trainer.default_root_dir, "checkpoints", "backbone.ckpt")
        if self.global_rank == 0 and not backbone.exists():
            self._save_backbone(backbone)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith(BACKBONE)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        frozen = {name: value for name, value in self.state_dict().items() if name.startswith(BACKBONE)}
        checkpoint["state_dict"] = frozen | checkpoint["state_dict"]

    def _save_backbone(self, path: Path) -> None:
        """Writes the backbone, or hard-links the file of another job of the sweep that shares it."""

        def save() -> Path:
            self.trainer.strategy.checkpoint_io.save_checkpoint(self.network.backbone.state_dict(), path)
            return path

        path.parent.mkdir(parents=True, exist_ok=True)
        saved: Path = of_shared(self.network.backbone, "checkpoint", save)
        if saved != path and not (saved.is_file() and name_also(saved, path)):
            save()
