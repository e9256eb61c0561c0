"""CIFAR-10: 60,000 photos in ten classes, 32×32 pixels (Krizhevsky 2009, cs.toronto.edu/~kriz/cifar.html)."""

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from datamodules.cifar10_files import OFFICIAL_MD5S, read_cifar10
from datamodules.in_memory import InMemory, Split
from datamodules.stand_ins.write import write_cifar10
from engine.data.stratified_split import stratified_split
from engine.downloads.official_data import OfficialData, StandIn
from engine.errors import DataError

OFFICIAL = OfficialData(
    folder="cifar-10-batches-bin",
    mark="data_batch_1.bin",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    size=170_052_171,
    draw=write_cifar10,
)
OFFICIAL_TRAIN_SIZE = 50_000


class CIFAR10(InMemory):
    """The binary version in `data_dir/cifar-10-batches-bin`: found there, or downloaded, or a generated stand-in.

    `source` is official, local (official training images, but the test file is missing or a different one) or stand-in.
    Without a test file there is no `test` split. Unofficial training files are refused (DataError).

    Args:
        data_dir: contains the folder, or receives it.
        val_size: how many of the 50,000 training images are used for validation, stratified by class and drawn with the
            seed; 0: train on all (see InMemory for the best epoch). The stand-in is a tenth of the size, and so is its
            validation split.
        stand_in: whether generated images may replace the real ones (official_data.py).
    """

    name = "cifar10"

    def __init__(self, *, data_dir: str, val_size: Annotated[int, Ge(0)], stand_in: StandIn, **in_memory: Any) -> None:
        super().__init__(**in_memory)
        self.data_dir = Path(data_dir)
        self.val_size = val_size
        self.stand_in = stand_in

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return (3, 32, 32)

    def prepare_data(self) -> None:
        OFFICIAL.prepare(self.data_dir, stand_in=self.stand_in)

    def load(self) -> dict[str, Split]:
        folder, is_stand_in = OFFICIAL.locate(self.data_dir)
        read = read_cifar10(folder, md5s=None if is_stand_in else OFFICIAL_MD5S)
        self.classes, self.source = list(read.classes), read.source
        images, labels = read.train
        if not 0 <= self.val_size < OFFICIAL_TRAIN_SIZE:
            raise DataError(f"datamodule.val_size={self.val_size} is not between 0 and {OFFICIAL_TRAIN_SIZE - 1}.")
        val_size = self.val_size * len(labels) // OFFICIAL_TRAIN_SIZE
        train, val = stratified_split(labels, val_size, seed=self.seed)
        splits = {"train": (images[train], labels[train])}
        if val_size:
            splits["val"] = (images[val], labels[val])
        if read.test is not None:
            splits["test"] = read.test
        return splits
