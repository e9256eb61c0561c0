"""Datasets that are found in a folder, or else downloaded, or else replaced by generated images."""

import difflib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from engine.downloads.archive import extract
from engine.downloads.download import DownloadError, download
from engine.errors import DataError

logger = logging.getLogger(__name__)

StandIn = bool | Literal["auto"]
"""Whether generated images may replace unavailable data; auto: only in the default data_dir."""


@dataclass(frozen=True)
class OfficialData:
    """An official archive of `size` bytes, and the stand-in that replaces it if it cannot be downloaded.

    Args:
        folder: name of the folder in the archive.
        mark: a file or folder in `folder` that identifies it if it has been renamed.
        draw: `draw(dest)` writes the stand-in in the official layout.
    """

    folder: str
    mark: str
    url: str
    sha256: str
    size: int
    draw: Callable[[Path], Path]

    def prepare(self, data_dir: Path, *, stand_in: StandIn) -> None:
        """Makes sure that `locate` finds the data: downloads it or, if `stand_in` allows it, generates a stand-in.

        Raises:
            DataError: the data is not available, or not the official archive. Nothing is written if the user's
                `data_dir` does not exist, or is inside or above the data's folder.
        """
        if self._found(data_dir):
            return
        real = data_dir / self.folder
        if os.path.lexists(real):  # the user expects real data here, not a stand-in
            raise DataError(f"{real} is a file or a dangling link, but a folder was expected: fix or remove it.")
        is_default = data_dir.absolute() == default_data_dir().absolute()
        if stand_in is not True and not is_default:
            self._check_given(data_dir)
        stand_in = is_default if stand_in == "auto" else stand_in
        archive = data_dir / self.url.rpartition("/")[2]
        try:
            extract(download(self.url, archive, self.sha256, self.size), data_dir, self.folder)
        except DownloadError as error:
            if not stand_in:
                raise DataError(
                    f"{real} does not exist, and {error} Or set datamodule.data_dir=DIR to a folder with "
                    f"{self.folder}/ in it, or datamodule.stand_in=true to use generated images."
                ) from error
            logger.warning("There is no data in %s: %s", real, error)
            self.draw(data_dir / "stand-in")

    def locate(self, data_dir: Path) -> tuple[Path, bool]:
        """The data's folder, and whether it is the stand-in."""
        found = self._found(data_dir) or data_dir / "stand-in" / self.folder
        return found, found.parent.name == "stand-in"

    def _found(self, data_dir: Path) -> Path | None:
        """The data's folder: in `data_dir`, or `data_dir` itself."""
        real = data_dir / self.folder
        marked = (place for place in (real, real / self.folder, data_dir) if (place / self.mark).exists())
        named = (place for place in (real, data_dir) if place.name == self.folder and place.is_dir())
        return next(marked, None) or next(named, None)

    def _check_given(self, data_dir: Path) -> None:
        """Raises DataError if `data_dir` does not exist, or is inside or above the data's folder."""
        above = [folder for folder in data_dir.absolute().parents[:3] if (folder / self.mark).exists()]
        if data_dir.is_dir():
            below = [*data_dir.glob(f"[!.]*/{self.folder}/{self.mark}"), *data_dir.glob(f"[!.]*/{self.mark}")]
            folders = [file.parents[len(Path(self.mark).parts) - 1] for file in below]
            folders += above
            hint = f"does not contain {self.folder}/: did you mean {folders[0]}?" if folders else ""
        else:
            siblings = [path.name for path in data_dir.parent.glob("[!.]*") if path.is_dir()]
            near = [] if above else difflib.get_close_matches(data_dir.name, siblings, 1)
            hint = "is not a folder: "
            found = [*above, *(data_dir.parent / name for name in near)]
            hint += f"did you mean {found[0]}?" if found else "create it first to download data there."
        if hint:
            raise DataError(f"datamodule.data_dir={data_dir} {hint}")


def default_data_dir() -> Path:
    """conf/datamodule's default: `data` in the directory of the command line, even with hydra.job.chdir."""
    cfg: Any = HydraConfig.instance().cfg
    return Path((cfg and OmegaConf.select(cfg, "hydra.runtime.cwd")) or ".", "data")
