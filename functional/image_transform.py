from collections.abc import Sequence

import torch
from torch import Tensor

from engine.data.keyed import keyed_generator
from engine.data.normalization import normalize
from functional.augment import alternating_flip, cutout, translate

FLIPS = ("none", "random", "alternating")


class ImageTransform:
    """Augments and normalizes batches of an in-memory dataset: (N, C, H, W) uint8 → float.

    flip → translate → pixels to [0, 1] → (x - mean) / std → cutout. The augmentation of an image depends only on
    (seed, epoch, index): each epoch's random numbers are drawn for the whole dataset at once.

    Args:
        set_size: number of images in the dataset.
        seed: key of the draws.
        flip: none | random (probability 1/2 in each epoch) | alternating (functional/augment.py).
        translate: maximum shift in pixels, vertical and horizontal, uniform over integers; 0: none.
        cutout: side of the cutout square in pixels; 0: none.
        mean: per channel, for pixels in [0, 1]; None: no normalization.
        std: like mean; given if and only if mean is.
    """

    def __init__(
        self,
        *,
        set_size: int,
        seed: int,
        flip: str,
        translate: int,
        cutout: int,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
    ) -> None:
        if flip not in FLIPS:
            raise ValueError(f"unknown flip {flip!r}; choose from {', '.join(FLIPS)}")
        if (mean is None) != (std is None):
            raise ValueError("mean and std must be given together")
        self.set_size, self.seed = set_size, seed
        self.flip, self.translate, self.cutout = flip, translate, cutout
        self.mean, self.std = mean, std
        self._drawn: tuple[tuple[int, torch.Size, torch.device], tuple[Tensor, Tensor, Tensor]] | None = None

    def __call__(self, images: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Transforms the images, whose dataset indices are `indices` (N,), for `epoch`."""
        if self.flip != "none" or self.translate or self.cutout:
            draws = self._draws(epoch, images.shape[-2:], images.device)
            flipped, shifts, centres = (draw.index_select(0, indices) for draw in draws)
            if self.flip != "none" or self.translate:
                images = translate(images, shifts, flipped=flipped)
            images = normalize(images, self.mean, self.std)
            return cutout(images, centres, self.cutout) if self.cutout else images
        return normalize(images, self.mean, self.std)

    def _draws(self, epoch: int, size: torch.Size, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Flips (set_size,), shifts (set_size, 2) and centers (set_size, 2) of an epoch, cached between calls.

        They are drawn on the CPU, so they do not depend on the device, and moved to it once per epoch.
        """
        if self._drawn is None or self._drawn[0] != (epoch, size, device):
            alternating = self.flip == "alternating"
            generator = keyed_generator(self.seed, 0 if alternating else epoch)
            flipped = torch.rand(self.set_size, generator=generator) < (0.0 if self.flip == "none" else 0.5)
            if alternating:
                flipped = alternating_flip(flipped, epoch)
            generator = keyed_generator(self.seed, epoch, 1)  # a different stream from the flips'
            shifts = torch.randint(-self.translate, self.translate + 1, (self.set_size, 2), generator=generator)
            centres = (torch.rand(self.set_size, 2, generator=generator) * torch.tensor(size)).long()
            self._drawn = (epoch, size, device), (flipped.to(device), shifts.to(device), centres.to(device))
        return self._drawn[1]
