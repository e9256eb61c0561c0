"""Converts batches of uint8 images to the network's input, on the batch's device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def normalize(images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """Scales uint8 images (N, C, H, W) to float32 in [0, 1] and normalises them by `mean` and `std` if given."""
    scaled = images.float().div_(255)
    if mean is None or std is None:
        return scaled
    shape = (1, -1, 1, 1)
    return scaled.sub_(torch.tensor(mean, device=images.device).view(shape)).div_(
        torch.tensor(std, device=images.device).view(shape)
    )
