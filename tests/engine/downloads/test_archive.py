import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.downloads.archive import extract
from engine.errors import DataError

FILES = {"set/train/ants/1.jpg": b"ant" * 1000, "set/val/bees/2.jpg": b"bee", "__MACOSX/set/._1.jpg": b"fork"}


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


Write = Callable[[Path, dict[str, bytes]], Path]
both = pytest.mark.parametrize("write", [write_zip, write_tar])


def assert_refused(archive: Path) -> None:
    """One sentence names the archive, and nothing at all is left of it, in the folder or around it."""
    dest = archive.parent / "inner" / "dest"
    with pytest.raises(DataError, match="cannot be extracted") as caught:
        extract(archive, dest, "set")
    assert str(archive) in str(caught.value)
    remains = {path.relative_to(archive.parent).as_posix() for path in archive.parent.rglob("*")}
    assert remains - {"inner", "inner/dest", "inner/dest/.set.lock"} == {archive.name}


@both
def test_the_folder_is_extracted_and_the_rest_left_out(tmp_path: Path, write: Write) -> None:
    dest = tmp_path / "dest"
    assert extract(write(tmp_path / "archive", FILES), dest, "set") == dest / "set"
    found = {path.relative_to(dest).as_posix(): path.read_bytes() for path in (dest / "set").rglob("*.jpg")}
    assert found == {name: data for name, data in FILES.items() if name.startswith("set/")}
    assert [path.name for path in dest.iterdir() if not path.name.startswith(".")] == ["set"]


@both
def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, write: Write) -> None:
    (tmp_path / "set").mkdir()
    extract(write(tmp_path / "archive", FILES), tmp_path, "set")
    assert not any((tmp_path / "set").iterdir())


@both
def test_a_cut_archive_or_another_file_is_refused(tmp_path: Path, write: Write) -> None:
    archive = write(tmp_path / "archive", {"set/1": os.urandom(50_000), "set/2": os.urandom(5000)})
    data = archive.read_bytes()
    for content in (b"", b"#!/bin/sh\n", data[:10], data[:30_000]):
        archive.write_bytes(content)
        assert_refused(archive)


@both
def test_an_archive_without_the_folder_is_refused(tmp_path: Path, write: Write) -> None:
    assert_refused(write(tmp_path / "archive", {"other/1": b"", "settings/1": b""}))
