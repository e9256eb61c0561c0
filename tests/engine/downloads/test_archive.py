import io
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.downloads import archive as module
from engine.downloads.archive import extract_tar, extract_zip
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
Extract = Callable[[Path, Path, str], Path]
both = pytest.mark.parametrize(("write", "extract"), [(write_zip, extract_zip), (write_tar, extract_tar)])


def assert_refused(extract: Extract, archive: Path, match: str) -> None:
    """The archive is refused by name, and nothing at all is left of it, in the folder or around it."""
    dest = archive.parent / "inner" / "dest"
    with pytest.raises(DataError, match=match) as caught:
        extract(archive, dest, "set")
    assert str(archive) in str(caught.value)
    remains = {path.relative_to(archive.parent).as_posix() for path in archive.parent.rglob("*")}
    assert remains - {"inner", "inner/dest", "inner/dest/.set.lock"} == {archive.name}


@both
def test_folder_is_extracted_and_the_rest_left_out(tmp_path: Path, write: Write, extract: Extract) -> None:
    dest = tmp_path / "dest"
    assert extract(write(tmp_path / "archive", FILES), dest, "set") == dest / "set"
    found = {path.relative_to(dest).as_posix(): path.read_bytes() for path in (dest / "set").rglob("*.jpg")}
    assert found == {name: data for name, data in FILES.items() if name.startswith("set/")}
    assert [path.name for path in dest.iterdir() if not path.name.startswith(".")] == ["set"]


@both
def test_folder_that_is_there_is_left(tmp_path: Path, write: Write, extract: Extract) -> None:
    (tmp_path / "set").mkdir()
    extract(write(tmp_path / "archive", FILES), tmp_path, "set")
    assert not any((tmp_path / "set").iterdir())


@both
@pytest.mark.parametrize(
    "name", ["../evil", "set/../../evil", "/evil", "set/../../../inner/evil", "..\\evil", "C:\\evil", "set/.."]
)
def test_path_that_leads_out_is_refused(tmp_path: Path, write: Write, extract: Extract, name: str) -> None:
    assert_refused(extract, write(tmp_path / "archive", {"set/good": b"", name: b"evil"}), "leads out")


@pytest.mark.parametrize("target", ["/etc", "../..", "good"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_link_in_a_tar_is_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    with tarfile.open(tmp_path / "archive", "w") as file:
        file.addfile(tarfile.TarInfo("set/good"))
        info = tarfile.TarInfo("set/link")
        info.type, info.linkname = kind, target
        file.addfile(info)
    assert_refused(extract_tar, tmp_path / "archive", "'set/link', which is a link or device")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_device_in_a_tar_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "archive", "w") as file:
        info = tarfile.TarInfo("set/device")
        info.type = kind
        file.addfile(info)
    assert_refused(extract_tar, tmp_path / "archive", "'set/device', which is a link or device")


def test_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as file:
        info = zipfile.ZipInfo("set/link")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    assert_refused(extract_zip, tmp_path / "archive", "'set/link', which is a link or device")


@both
def test_bomb_is_refused(tmp_path: Path, write: Write, extract: Extract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 3_000_000)
    monkeypatch.setattr(module, "BLOCK", 1000)
    archive = write(tmp_path / "archive", {f"set/{index}": bytes(1_000_000) for index in range(4)})
    assert archive.stat().st_size < 10_000
    assert_refused(extract, archive, "more than 3,000,000 bytes")


@both
def test_too_many_entries_are_refused(
    tmp_path: Path, write: Write, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 5)
    files = {f"set/{index}": b"" for index in range(5)}
    assert_refused(extract, write(tmp_path / "archive", files | {"other": b""}), "more than 5 entries")
    extract(write(tmp_path / "archive", files), tmp_path, "set")


@both
def test_cut_archive_is_refused(tmp_path: Path, write: Write, extract: Extract) -> None:
    archive = write(tmp_path / "archive", {"set/1": os.urandom(5000), "set/2": os.urandom(5000)})
    data = archive.read_bytes()
    for length in (0, 10, 3000, 8000, len(data) - 30):
        archive.write_bytes(data[:length])
        assert_refused(extract, archive, "cannot be read as an archive")


@both
def test_altered_archive_is_refused(tmp_path: Path, write: Write, extract: Extract) -> None:
    archive = write(tmp_path / "archive", {"set/1": os.urandom(50_000)})
    data = bytearray(archive.read_bytes())
    data[25_000] ^= 255
    archive.write_bytes(data)
    assert_refused(extract, archive, "cannot be read as an archive")


@both
@pytest.mark.parametrize("first", ["set/a", "set/a/b"])
def test_file_and_folder_of_one_name_are_refused(tmp_path: Path, write: Write, extract: Extract, first: str) -> None:
    names = [first, *({"set/a", "set/a/b"} - {first})]
    assert_refused(extract, write(tmp_path / "archive", dict.fromkeys(names, b"")), "twice, or as a file and as a f")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as file:
        for content in ("harmless", "other"):
            file.writestr("set/a", content)
    assert_refused(extract_zip, tmp_path / "archive", "'set/a' twice")


@both
def test_archive_of_wrong_bytes_gives_the_files_or_one_sentence(tmp_path: Path, write: Write, extract: Extract) -> None:
    """Whatever the standard library makes of them; 120 archives, each with a few bytes changed."""
    sound = write(tmp_path / "archive", {f"set/{index}": os.urandom(50) for index in range(4)}).read_bytes()
    rng = random.Random(0)
    refused = 0
    for attempt in range(120):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "archive").write_bytes(data)
        try:
            extract(tmp_path / "archive", tmp_path / str(attempt), "set")
        except DataError as error:
            refused += "\n" not in str(error)
        else:
            assert all(path.stat().st_size <= 50 for path in (tmp_path / str(attempt)).rglob("*") if path.is_file())
    assert refused > 40


@both
def test_archive_without_the_folder_is_refused(tmp_path: Path, write: Write, extract: Extract) -> None:
    assert_refused(extract, write(tmp_path / "archive", {"other/1": b"", "settings/1": b""}), "no folder set")
