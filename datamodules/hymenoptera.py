"""Ants and bees: the photos of PyTorch's tutorial on transfer learning (pytorch.org/tutorials)."""

from pathlib import Path
from typing import Any

from datamodules.image_folder import ImageFolder
from datamodules.stand_ins.write import write_hymenoptera
from engine.downloads.official_data import OfficialData, StandIn

OFFICIAL = OfficialData(
    folder="hymenoptera_data",
    mark="train/ants",
    url="https://download.pytorch.org/tutorial/hymenoptera_data.zip",
    sha256="fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
    size=47_286_322,
    draw=write_hymenoptera,
)
# ImageFolder.digest of the official photos.
PHOTOS_SHA256 = "72ced508e764af85254b64d7815596bdfb7da77aa5a5cb19cd812f3abe9dc7ff"


class Hymenoptera(ImageFolder):
    """The photos under `data_dir/hymenoptera_data`: found there, or downloaded, or generated if `stand_in` allows it.

    `source` is official (byte for byte the archive's photos), local (other photos) or stand-in.
    """

    def __init__(self, *, data_dir: str, stand_in: StandIn, **image_folder: Any) -> None:
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
        elif self.digest == PHOTOS_SHA256:
            self.source = "official"
