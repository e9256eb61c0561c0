"""Ants and bees: the photos of PyTorch's tutorial on transfer learning (pytorch.org/tutorials)."""

import hashlib
from pathlib import Path
from typing import Any

from datamodules.archive import extract_zip
from datamodules.image_folder import ImageFolder
from datamodules.official_data import OfficialData
from datamodules.stand_in import write_hymenoptera

OFFICIAL = OfficialData(
    folder="hymenoptera_data",
    url="https://download.pytorch.org/tutorial/hymenoptera_data.zip",
    sha256="fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
    size=47_286_322,
    extract=extract_zip,
    draw=write_hymenoptera,
)
# Of the official photos' names and bytes, in the order of their names.
PHOTOS_SHA256 = "5bc906295b603731f0ee7459fe2b19840f0af95d4c8bee8b49f3db8828d8d762"


class Hymenoptera(ImageFolder):
    """The photos under `data_dir/hymenoptera_data`: found there, else downloaded, else drawn if `stand_in`.

    `source` says which: official (photos that are byte for byte the archive's), local (others) or stand-in.
    """

    def __init__(self, *, data_dir: str, stand_in: bool, **image_folder: Any) -> None:
        super().__init__(data_dir=data_dir, **image_folder)
        self.data_dir = Path(data_dir)
        self.name = "hymenoptera"
        self.stand_in = stand_in

    def prepare_data(self) -> None:
        OFFICIAL.prepare(self.data_dir, stand_in=self.stand_in)

    def setup(self, stage: str) -> None:
        self.root, is_stand_in = OFFICIAL.locate(self.data_dir)
        super().setup(stage)
        if is_stand_in:
            self.source = "stand-in"
        elif self._digest() == PHOTOS_SHA256:
            self.source = "official"

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for file in sorted([*self.train.files, *self.val.files]):
            digest.update(file.relative_to(self.root).as_posix().encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()
