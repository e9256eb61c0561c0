"""CIFAR-10 as a multi-label dataset of attributes that its classes share."""

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
    """CIFAR-10's images with float targets (N, 8): 1 if the image's class has the attribute, else 0.

    `classes` are the names of the attributes. The stand-in's shapes get the attributes of the classes they replace,
    which are meaningless for a disc or a star but can be learned.
    """

    name = "cifar10_attributes"

    def load(self) -> dict[str, Split]:
        splits = super().load()
        self.classes = list(ATTRIBUTES)
        rows = [[float(name in owners) for owners in ATTRIBUTES.values()] for name in OFFICIAL_CLASSES]
        table = torch.tensor(rows)
        return {split: (images, table[labels]) for split, (images, labels) in splits.items()}
