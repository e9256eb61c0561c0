"""Ants and bees: the photos of PyTorch's tutorial on transfer learning (pytorch.org/tutorials)."""

import hashlib
import logging
from pathlib import Path
from typing import Any

from datamodules.archive import extract_zip
from datamodules.download import DownloadError, download
from datamodules.errors import DataError
from datamodules.image_folder import ImageFolder
from datamodules.stand_in import write_hymenoptera

logger = logging.getLogger(__name__)

URL = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
SIZE = 47_286_322  # bytes
SHA256 = "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209"
FOLDER = "hymenoptera_data"
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
        if (self.data_dir / FOLDER).is_dir():
            return
        archive = self.data_dir / URL.rpartition("/")[2]
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            extract_zip(download(URL, archive, SHA256, SIZE), self.data_dir, FOLDER)
        except (DownloadError, OSError) as error:
            if not self.stand_in:
                raise DataError(
                    f"The photos of hymenoptera are neither in {self.data_dir / FOLDER} nor within reach ({error}): "
                    f"unpack {archive.name} from {URL} there, or give datamodule.data_dir=DIR that holds {FOLDER}/."
                ) from error
            logger.warning("No photos in %s and none within reach: %s", self.data_dir / FOLDER, error)
            write_hymenoptera(self._stand_in_dir)

    def setup(self, stage: str) -> None:
        official = self.data_dir / FOLDER
        self.root = official if official.is_dir() else self._stand_in_dir / FOLDER
        super().setup(stage)
        if not official.is_dir():
            self.source = "stand-in"
        elif self._digest() == PHOTOS_SHA256:
            self.source = "official"

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for file in sorted([*self.train.files, *self.val.files]):
            digest.update(file.relative_to(self.root).as_posix().encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()

    @property
    def _stand_in_dir(self) -> Path:
        return self.data_dir / "stand-in"
