import multiprocessing
import os
import shutil
import warnings
from pathlib import Path

import pytest

from engine.errors import DataError
from engine.photos import photo_index
from engine.photos.images import check_images
from engine.photos.photo_index import PhotoIndex

LONG_AGO = 1_000_000_000
LIMIT = 10**8


@pytest.fixture
def root(data_dir: Path, tmp_path: Path) -> Path:
    root = shutil.copytree(data_dir / "hymenoptera_data" / "val", tmp_path / "photos")
    for number, file in enumerate(files_of(root)):
        os.utime(file, (LONG_AGO, LONG_AGO + number))
    return root


def files_of(root: Path) -> list[Path]:
    return sorted(root.glob("*/*"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read for their digests."""
    read: list[Path] = []
    digest = photo_index._digest

    def noted(file: Path) -> bytes:
        read.append(file)
        return digest(file)

    monkeypatch.setattr(photo_index, "_digest", noted)
    return read


def start(root: Path, folder: Path | None) -> PhotoIndex:
    index = PhotoIndex(files_of(root), root, folder)
    check_images(index.files, LIMIT, index)
    index.digest()
    return index


def test_second_start_reads_nothing(
    root: Path, tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(root, tmp_path / "index").digest()
    assert sorted(reads) == files_of(root)
    reads.clear()
    monkeypatch.setattr("engine.photos.images.look_at", None)
    assert start(root, tmp_path / "index").digest() == first
    assert reads == []


def replaced(file: Path) -> None:
    """Other content of the same size, under the same name and with the same time."""
    content, times = file.read_bytes(), file.stat()
    twin = file.with_suffix(".new")
    twin.write_bytes(content[:-3] + b"\0\xff\xd9")
    os.utime(twin, ns=(times.st_atime_ns, times.st_mtime_ns))
    twin.replace(file)


def touched(file: Path) -> None:
    os.utime(file, (LONG_AGO + 999, LONG_AGO + 999))


def longer(file: Path) -> None:
    times = file.stat()
    with file.open("ab") as stream:
        stream.write(b"\0")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", [replaced, touched, longer])
def test_only_what_changed_is_read_again(change: object, root: Path, tmp_path: Path, reads: list[Path]) -> None:
    assert callable(change)
    first = start(root, tmp_path / "index").digest()
    reads.clear()
    file = files_of(root)[3]
    change(file)
    second = start(root, tmp_path / "index").digest()
    assert set(reads) == {file}
    assert second == PhotoIndex(files_of(root), root).digest()
    assert (second == first) is (change is touched)


def test_a_file_that_has_just_been_written_is_not_remembered(root: Path, tmp_path: Path, reads: list[Path]) -> None:
    """It could be written again within the clock's resolution."""
    os.utime(files_of(root)[0])
    start(root, tmp_path / "index")
    reads.clear()
    start(root, tmp_path / "index")
    assert set(reads) == {files_of(root)[0]}


def test_without_a_folder_all_are_read_anew(root: Path, tmp_path: Path, reads: list[Path]) -> None:
    for _ in range(2):
        reads.clear()
        start(root, None)
        assert sorted(reads) == files_of(root)


def test_a_lower_limit_of_pixels_is_checked_anew(root: Path, tmp_path: Path) -> None:
    index = start(root, tmp_path / "index")
    assert index.is_sound(0, LIMIT)
    assert not index.is_sound(0, 10)
    with pytest.raises(DataError, match="at most 10 are allowed"):
        check_images(index.files, 10, index)


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "link", "folder", "pipe"])
def test_a_damaged_index_counts_as_none(damage: str, root: Path, tmp_path: Path, reads: list[Path]) -> None:
    digest = start(root, tmp_path / "index").digest()
    (file,) = (tmp_path / "index").glob("*.index")
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "bit":
        content[60] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-1])
    elif damage == "empty":
        file.touch()
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to(tmp_path / "elsewhere")
    elif damage == "folder":
        file.mkdir()
    else:
        os.mkfifo(file)
    reads.clear()
    assert start(root, tmp_path / "index").digest() == digest
    assert sorted(reads) == files_of(root)


def test_of_a_folder_that_cannot_be_written_nothing_is_remembered(root: Path, tmp_path: Path) -> None:
    (tmp_path / "index").touch()
    assert start(root, tmp_path / "index").digest() == start(root, None).digest()


def test_processes_at_once_add_to_one_index(root: Path, tmp_path: Path, reads: list[Path]) -> None:
    def work(part: int) -> None:
        index = PhotoIndex(files_of(root)[part::3], root, tmp_path / "index")
        index.digest()

    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: forking beside threads
        processes = [context.Process(target=work, args=(part,)) for part in range(3)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
    start(root, tmp_path / "index")
    assert reads == []


def test_digest_depends_on_names_and_bytes_but_not_on_the_place(tmp_path: Path) -> None:
    files = [tmp_path / "here" / "a", tmp_path / "here" / os.fsdecode(b"\xff")]
    files[0].parent.mkdir()
    for file, content in zip(files, (b"12", b"3"), strict=True):
        file.write_bytes(content)
    first = PhotoIndex(files, files[0].parent).digest()
    assert PhotoIndex(files[::-1], files[0].parent).digest() == first
    there = shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert PhotoIndex([*there.iterdir()], there).digest() == first
    files[0].write_bytes(b"1")
    files[1].write_bytes(b"23")
    assert PhotoIndex(files, files[0].parent).digest() != first


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg cannot be read"):
        PhotoIndex([tmp_path / "gone.jpg"], tmp_path).digest()
