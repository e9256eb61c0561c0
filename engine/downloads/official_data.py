"""Data that is found in a folder, else downloaded, else drawn."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.downloads.download import DownloadError, download
from engine.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OfficialData:
    """An official archive, the folder that it holds, and what takes its place where it cannot be had.

    Args:
        folder: name of the folder in the archive.
        url: of the archive.
        sha256: of the archive.
        size: of the archive, in bytes.
        extract: `extract(archive, dest, folder)`.
        draw: `draw(dest)` writes the stand-in, in the official layout.
    """

    folder: str
    url: str
    sha256: str
    size: int
    extract: Callable[[Path, Path, str], Path]
    draw: Callable[[Path], Path]

    def prepare(self, data_dir: Path, *, stand_in: bool) -> None:
        """Sees to it that the folder is in `data_dir`, or the stand-in below it if `stand_in`.

        Raises DataError where neither can be had, for an archive that is not the official one, and for a file or a
        link to nothing in the folder's place: whoever put it there meant other data than a stand-in.
        """
        real = data_dir / self.folder
        if real.is_dir():
            return
        if os.path.lexists(real):
            raise DataError(f"{real} is a file, or a link to nothing, where a folder was expected: mend or remove it.")
        archive = data_dir / self.url.rpartition("/")[2]
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self.extract(download(self.url, archive, self.sha256, self.size), data_dir, self.folder)
        except (DownloadError, OSError) as error:
            if not stand_in:
                reason = error.__cause__ or error  # without the download's own advice
                raise DataError(
                    f"The data is neither in {real} nor within reach ({reason}): unpack "
                    f"{archive.name} from {self.url} there, or give datamodule.data_dir=DIR that holds {self.folder}/."
                ) from error
            logger.warning("No data in %s, and none within reach: %s", real, error)
            self.draw(data_dir / "stand-in")

    def locate(self, data_dir: Path) -> tuple[Path, bool]:
        """Where the data lies now, and whether it is the stand-in."""
        real = data_dir / self.folder
        return (real, False) if real.is_dir() else (data_dir / "stand-in" / self.folder, True)
