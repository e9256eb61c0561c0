"""The stand-in: data sets drawn by the project itself, in the official format on disk, where the real ones are not had.

A program reads them with the code that reads the real ones, and learns something from them, but nothing about ants,
bees or aeroplanes: what it reports on them only shows that it works. Every picture depends on its set, class and
number alone.
"""

from pathlib import Path

import numpy as np

from datamodules.stand_ins.insects import draw_insect
from datamodules.stand_ins.shapes import SHAPES, draw_shapes
from engine.files import new_folder

# As many photos as the real archive holds.
HYMENOPTERA = {("train", "ants"): 123, ("train", "bees"): 121, ("val", "ants"): 70, ("val", "bees"): 83}

RECORDS = 1_000
"""Pictures in each of the six files, where the real ones have 10,000."""


def write_hymenoptera(root: Path) -> Path:
    """Writes hymenoptera_data/{train,val}/{ants,bees}/NNNN.jpg in `root`, once, and returns hymenoptera_data.

    Ants and bees drawn on blurred backgrounds, with the real set's 244 + 153 files, at half its photos' size.
    """
    return new_folder(root / "hymenoptera_data", _fill_hymenoptera)


def write_cifar10(root: Path) -> Path:
    """Writes the binary version's seven files to cifar-10-batches-bin in `root`, once, and returns that folder.

    Ten drawn shapes, 1,000 pictures a file in place of 10,000, with the shapes' names in batches.meta.txt.
    """
    return new_folder(root / "cifar-10-batches-bin", _fill_cifar10)


def _fill_hymenoptera(folder: Path) -> None:
    for key, ((split, insect), count) in enumerate(HYMENOPTERA.items()):
        place = folder / split / insect
        place.mkdir(parents=True)
        for index in range(count):
            picture = draw_insect(insect, np.random.default_rng((key, index)))
            picture.save(place / f"{index:04d}.jpg", quality=85)


def _fill_cifar10(folder: Path) -> None:
    # The real file, too, ends in an empty line.
    (folder / "batches.meta.txt").write_text("\n".join([*SHAPES, "", ""]))
    for key, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        rng = np.random.default_rng(key)
        labels = rng.permutation(np.arange(RECORDS) % len(SHAPES))
        pixels = draw_shapes(labels, rng)
        # A record is one byte of label, then 1,024 bytes each of red, green and blue, row by row.
        records = np.concatenate([labels[:, None].astype(np.uint8), pixels.reshape(RECORDS, -1)], axis=1)
        records.tofile(folder / f"{name}.bin")
