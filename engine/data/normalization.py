"""Converts batches of uint8 images to the network's input, on the batch's device."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from engine.errors import DataError
from engine.wording import shown


def require_normalization(mean: Sequence[float] | None, std: Sequence[float] | None, channels: int) -> None:
    """DataError unless both are None or both have one value per channel, and those of `std` are above 0."""
    if mean is None and std is None:
        return
    if mean is None or std is None or not len(mean) == len(std) == channels or min(std) <= 0:
        raise DataError(
            f"datamodule.mean={shown(mean)} and datamodule.std={shown(std)}: give both, each with one value for each "
            f"of the {channels} channels, and a std above 0; or null for both."
        )


def normalize(images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """Scales uint8 images (N, C, H, W) to float32 in [0, 1] and normalizes them by `mean` and `std` if given."""
    scaled = images.float().div_(255)
    if mean is None or std is None:
        return scaled
    return scaled.sub_(_per_channel(tuple(mean), images.device)).div_(_per_channel(tuple(std), images.device))


@lru_cache(maxsize=16)  # cached: a copy to a GPU waits for all work queued there
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """The values, one per channel, as (1, C, 1, 1)."""
    return torch.tensor(values, device=device).view(1, -1, 1, 1)
