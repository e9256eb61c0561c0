"""Stand-ins: generated datasets in the official on-disk format, used if the real ones are not available.

The code that reads the real data reads them, and models can learn from them, but results only show that the code works;
they mean nothing for the real data. The images do not depend on a run's seed.
"""

from pathlib import Path

import numpy as np

from datamodules.stand_ins.insects import draw_insect
from datamodules.stand_ins.shapes import SHAPES, draw_shapes
from engine.files import new_folder

# As many photos as in the real archive.
HYMENOPTERA = {("train", "ants"): 123, ("train", "bees"): 121, ("val", "ants"): 70, ("val", "bees"): 83}

RECORDS = 1_000
"""Images per file; the real files have 10,000."""


def write_hymenoptera(root: Path) -> Path:
    """Writes hymenoptera_data/{train,val}/{ants,bees}/NNNN.jpg in `root` unless it exists, and returns that folder.

    There are 244 + 153 images, as in the real dataset, at half the size.
    """
    return new_folder(root / "hymenoptera_data", _fill_hymenoptera)


def write_cifar10(root: Path) -> Path:
    """Writes the binary version's seven files to cifar-10-batches-bin in `root` unless it exists, and returns it.

    There are ten shapes, and 1,000 images per file instead of 10,000; batches.meta.txt has the shapes' names.
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
    # The real file also ends with an empty line.
    (folder / "batches.meta.txt").write_text("\n".join([*SHAPES, "", ""]))
    for key, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        rng = np.random.default_rng(key)
        labels = rng.permutation(np.arange(RECORDS) % len(SHAPES))
        pixels = draw_shapes(labels, rng)
        # A record is one label byte, then 1,024 bytes each of red, green and blue, row by row.
        records = np.concatenate([labels[:, None].astype(np.uint8), pixels.reshape(RECORDS, -1)], axis=1)
        records.tofile(folder / f"{name}.bin")
