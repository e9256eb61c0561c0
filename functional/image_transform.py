from collections.abc import Sequence

import torch
from torch import Tensor

from engine.data.keyed import keyed_generator
from engine.data.normalization import normalize
from functional.augment import alternating_flip, cutout, translate

FLIPS = ("none", "random", "alternating")


class ImageTransform:
    """Augments and normalises many images of an in-memory set at once: (N, C, H, W) uint8 → float.

    flip → translate → pixels to [0, 1] → (x - mean) / std → cutout. What an image gets depends on
    (seed, epoch, its index) alone: the draws of an epoch are made for the whole set.

    Args:
        set_size: number of images in the set that indices refer to.
        seed: key of the draws.
        flip: none | random (half of the images, drawn each epoch) | alternating (functional/augment.py).
        translate: largest shift, in pixels, up or down and left or right, uniform over whole pixels; 0: none.
        cutout: side of the square that is cut out, in pixels; 0: none.
        mean: per channel, of pixels in [0, 1]; None: no normalisation.
        std: as mean; given if and only if mean is.
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
            raise ValueError("mean and std are given together, or neither is")
        self.set_size, self.seed = set_size, seed
        self.flip, self.translate, self.cutout = flip, translate, cutout
        self.mean, self.std = mean, std
        self._drawn: tuple[tuple[int, torch.Size], tuple[Tensor, Tensor, Tensor]] | None = None

    def __call__(self, images: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """The images in their looks of `epoch`; `indices` (N,) says which of the set they are."""
        if self.flip != "none" or self.translate or self.cutout:
            flipped, shifts, centres = (
                draw[indices.cpu()].to(images.device) for draw in self._draws(epoch, images.shape[-2:])
            )
            if self.flip != "none" or self.translate:
                images = translate(images, shifts, flipped=flipped)
            images = normalize(images, self.mean, self.std)
            return cutout(images, centres, self.cutout) if self.cutout else images
        return normalize(images, self.mean, self.std)

    def _draws(self, epoch: int, size: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
        """Flips (set_size,), shifts (set_size, 2) and centres (set_size, 2) of an epoch, kept for its other blocks."""
        if self._drawn is None or self._drawn[0] != (epoch, size):
            alternating = self.flip == "alternating"
            generator = keyed_generator(self.seed, 0 if alternating else epoch)
            flipped = torch.rand(self.set_size, generator=generator) < (0.0 if self.flip == "none" else 0.5)
            if alternating:
                flipped = alternating_flip(flipped, epoch)
            generator = keyed_generator(self.seed, epoch, 1)  # not the flips' stream
            shifts = torch.randint(-self.translate, self.translate + 1, (self.set_size, 2), generator=generator)
            centres = (torch.rand(self.set_size, 2, generator=generator) * torch.tensor(size)).long()
            self._drawn = (epoch, size), (flipped, shifts, centres)
        return self._drawn[1]
