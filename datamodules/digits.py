"""Handwritten digits from scikit-learn, which need no download."""

from typing import Annotated, Any

import torch
from annotated_types import Ge
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from datamodules.in_memory import InMemory, Split
from engine.data.stratified_split import stratified_split

SIDE = 32
TEST_SEED = 0  # the test split is the same for every seed of a run


def read_digits() -> Split:
    """All 1,797 digits, light on dark, as images (N, 1, 32, 32) uint8 and labels (N,) int64 in [0, 9].

    The original 8×8 images with values from 0 to 16 are scaled up by bilinear interpolation.

    Source: `sklearn.datasets.load_digits`: the test part of Alpaydin & Kaynak 1998, "Optical recognition of handwritten
    digits", UCI Machine Learning Repository.
    """
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16
    scaled = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return (scaled * 255).round().to(torch.uint8), torch.from_numpy(digits.target).long()


class Digits(InMemory):
    """Grayscale digits (N, 1, 32, 32); `source` is official, since scikit-learn contains the original data.

    Args:
        val_size: size of the validation split, stratified by class and drawn with `seed`.
        test_size: size of the test split, also stratified, but the same for every seed.
    """

    name = "digits"
    source = "official"
    classes = tuple("0123456789")

    def __init__(self, *, val_size: Annotated[int, Ge(0)], test_size: Annotated[int, Ge(0)], **in_memory: Any) -> None:
        super().__init__(**in_memory)
        self.val_size = val_size
        self.test_size = test_size

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return (1, SIDE, SIDE)

    def load(self) -> dict[str, Split]:
        return self.split(*read_digits())

    def split(self, images: Tensor, labels: Tensor) -> dict[str, Split]:
        """Splits all images (1797, C, 32, 32) and labels (1797,)."""
        rest, test = stratified_split(labels, self.test_size, seed=TEST_SEED)
        train, val = stratified_split(labels[rest], self.val_size, seed=self.seed)
        indices = {"train": rest[train], "val": rest[val], "test": test}
        return {split: (images[chosen], labels[chosen]) for split, chosen in indices.items()}
