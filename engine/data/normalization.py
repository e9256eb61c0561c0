"""From bytes to what a network takes, a batch at a time and on the batch's device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def normalize(images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """uint8 images (N, C, H, W) as float32 in [0, 1], less `mean` and divided by `std` per channel if given."""
    scaled = images.float().div_(255)
    if mean is None or std is None:
        return scaled
    shape = (1, -1, 1, 1)
    return scaled.sub_(torch.tensor(mean, device=images.device).view(shape)).div_(
        torch.tensor(std, device=images.device).view(shape)
    )
