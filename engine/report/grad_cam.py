"""Where a network looked: heat maps by Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391), drawn over the photos."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from engine.data.normalization import normalize
from engine.errors import UserError
from engine.results.contact_sheet import scaled
from engine.results.preprocessing import input_shape, normalization
from engine.run.trained import Trained

OPACITY = 0.45  # of the heat over the photo
AT_ONCE = 4  # photos whose activations and gradients are held


class GradCam:
    """Draws over photos of `split` what in them raised an output of a run's network, on the CPU in 32 bits.

    UserError if the datamodule has no images, or the run several heads.
    """

    def __init__(self, trained: Trained, datamodule: Any, split: str) -> None:
        self.trained, self.split = trained, split
        self.source = getattr(datamodule, "photos", datamodule)  # behind cached features
        if not (hasattr(self.source, "images") and hasattr(self.source, "thumbnails")):
            raise UserError(f"grad_cam=true: run={trained.directory} has no photos, but {trained.data['name']}.")
        if "num_folds" in (trained.config.get("features") or {}):
            raise UserError(
                f"grad_cam=true: run={trained.directory} cross-validates: give a run with one head instead."
            )
        self.network = trained.load_network()

    def __call__(self, positions: Sequence[int], columns: Sequence[int]) -> list[Image.Image]:
        """Each photo as the network saw it, under the heat map of one of its outputs."""
        mean, std = normalization(self.trained)
        drawn: list[Image.Image] = []
        for start in range(0, len(positions), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            images = self.source.images(self.split, positions[some])[
                :, : input_shape(self.trained)[0]
            ]  # grey ones have 3
            inputs = normalize((images * 255).round().byte(), mean, std)
            layer = _last_map(self.network, inputs[:1])
            if layer is None:
                raise UserError(
                    f"grad_cam=true: {type(self.network).__name__} of run={self.trained.directory} has no layer whose "
                    "output is a map of the image, as convolutions have."
                )
            maps = heat_maps(self.network, layer, inputs, columns[some])
            drawn += [_over(image, heat) for image, heat in zip(images, maps, strict=True)]
        return drawn


def require_captum() -> None:
    if find_spec("captum") is None:
        raise UserError("grad_cam=true needs captum: pip install -e '.[captum]'.")


def heat_maps(network: nn.Module, layer: nn.Module, inputs: Tensor, columns: Sequence[int]) -> Tensor:
    """(N, H, W) in [0, 1] for inputs (N, C, H, W): where `layer`'s output raised output `columns[i]` of the network.

    The largest of each photo is 1; all are 0 where nothing raised it.
    """
    attr: Any = import_module("captum.attr")
    found = attr.LayerGradCam(network, layer).attribute(inputs, target=list(columns), relu_attributions=True)
    maps = attr.LayerAttribution.interpolate(found.detach(), tuple(inputs.shape[2:]), "bilinear")[:, 0]
    largest: Tensor = maps.amax((1, 2), keepdim=True)
    return maps / largest.clamp(min=torch.finfo(maps.dtype).tiny)


@torch.no_grad()
def _last_map(network: nn.Module, inputs: Tensor) -> nn.Module | None:
    """The last part of the network to give an output (1, C, H, W) of more than one position; None if there is none."""
    found: list[nn.Module] = []

    def note(part: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            found.append(part)

    hooks = [part.register_forward_hook(note) for part in network.modules()]
    try:
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1] if found else None


def _over(photo: Tensor, heat: Tensor) -> Image.Image:
    """The heat (H, W) over a photo (1 or 3, H, W), both in [0, 1]: blue where nothing was seen, red where the most."""
    colors = import_module("matplotlib").colormaps["turbo"](heat.numpy())[:, :, :3]
    over = torch.from_numpy(colors.astype(np.float32)).permute(2, 0, 1)
    return scaled(photo.expand(3, -1, -1) * (1 - OPACITY) + over * OPACITY)
