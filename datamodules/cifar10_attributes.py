"""CIFAR-10 with several labels at once: what its things have in common."""

import torch

from datamodules.cifar10 import CIFAR10
from datamodules.cifar10_files import OFFICIAL_CLASSES
from datamodules.in_memory import Split

ATTRIBUTES = {
    "animal": ("bird", "cat", "deer", "dog", "frog", "horse"),
    "vehicle": ("airplane", "automobile", "ship", "truck"),
    "flies": ("airplane", "bird"),
    "lives_in_water": ("frog",),
    "moves_on_water": ("ship",),
    "four_legs": ("cat", "deer", "dog", "frog", "horse"),
    "hoofs": ("deer", "horse"),
    "wheels": ("airplane", "automobile", "truck"),
}


class CIFAR10Attributes(CIFAR10):
    """CIFAR-10's images with targets (N, 8), float, 1 where the image's class has the attribute and 0 where it has not.

    `classes` are the names of the attributes. The stand-in's classes take the attributes of those in whose place they
    are, which say nothing of a disc or a star; they can be learned all the same.
    """

    name = "cifar10_attributes"

    def load(self) -> dict[str, Split]:
        splits = super().load()
        self.classes = list(ATTRIBUTES)
        rows = [[float(name in owners) for owners in ATTRIBUTES.values()] for name in OFFICIAL_CLASSES]
        table = torch.tensor(rows)
        return {split: (images, table[labels]) for split, (images, labels) in splits.items()}
