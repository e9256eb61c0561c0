"""Whatever writes data, on a disk that is full: no file may grow beyond a limit, which the system refuses alike."""

import resource
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datamodules.cifar10_files import RECORD_BYTES
from datamodules.stand_ins import write as stand_in
from datamodules.stand_ins.write import write_cifar10
from engine.downloads import archive
from engine.errors import DataError
from engine.features.feature_cache import cached_arrays

LIMIT = 50_000
SHAPES = {"train": (100, 1, 512)}


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def extract(folder: Path) -> object:
    with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("set/x", bytes(2 * LIMIT))
    with full_disk():
        return archive.extract(folder / "set.zip", folder, "set")


def draw(folder: Path) -> object:
    with full_disk():
        return write_cifar10(folder)


def cache(folder: Path) -> object:
    with full_disk():
        return cached_arrays(folder, {}, SHAPES, lambda arrays: pytest.fail("it was computed, and is lost"))


@pytest.mark.parametrize(("write", "name"), [(extract, "set"), (draw, "cifar-10-batches-bin"), (cache, "")])
def test_folder_is_named_and_nothing_is_left_of_it(
    write: Callable[[Path], object], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "RECORDS", 2 * LIMIT // RECORD_BYTES)
    with pytest.raises(DataError, match=rf"{tmp_path}/{name}.* cannot be written \(.*\): choose a writable folder"):
        write(tmp_path)
    left = {path.name for path in tmp_path.rglob("*")}
    assert not [entry for entry in left if not entry.endswith((".lock", ".zip"))]
