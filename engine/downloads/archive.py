"""Extracts archives whose SHA-256 has been verified: a folder is extracted completely or not at all."""

import tarfile
import tempfile
import zipfile
from pathlib import Path

from engine.errors import DataError
from engine.files import new_folder
from engine.process.activity import activity


def extract(archive: Path, dest: Path, folder: str) -> Path:
    """Extracts the top-level folder `folder` of a zip or tar file to `dest / folder`, unless it is already there.

    Nothing is written elsewhere: zipfile strips `..` and absolute paths from names; tarfile's data filter rejects them,
    and everything except files and folders.

    Raises:
        DataError: the archive is damaged or has no such folder, or the disk is full.
    """

    def fill(aside: Path) -> None:
        with activity(f"extracting {archive.name}"), tempfile.TemporaryDirectory(dir=aside) as place:
            try:
                if zipfile.is_zipfile(archive):
                    with zipfile.ZipFile(archive) as zipped:
                        zipped.extractall(place)
                else:
                    with tarfile.open(archive) as tar:
                        tar.extractall(place, filter="data")
                children = list(Path(place, folder).iterdir())
                if any(path.is_symlink() for path in Path(place, folder).rglob("*")):
                    raise ValueError("it contains links")
            except Exception as error:  # both libraries raise many kinds of errors on damaged files
                if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError):
                    raise
                raise DataError(f"{archive} cannot be extracted ({error}): remove it to download it again.") from error
            for child in children:
                child.rename(aside / child.name)

    return new_folder(dest / folder, fill)
