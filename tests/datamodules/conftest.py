"""A folder of photos that tests may spoil."""

from pathlib import Path

import pytest

from tests.datamodules.small_photos import COLOURS, photo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """train/ and val/ with ants/ and bees/ of three photos each."""
    for split in ("train", "val"):
        for name, colour in COLOURS.items():
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                photo(colour).save(folder / f"{index}.jpg")
    return tmp_path / "photos"
