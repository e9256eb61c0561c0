from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.errors import DataError
from engine.photos.unlabelled_photos import PhotoBatch, UnlabelledPhotos, find_photos


def write(path: Path, size: tuple[int, int] = (8, 6), colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.JPG", "b/1.png", "a.jpg", "b/c/3.webp", ".hidden.jpg", "b/._1.png", ".cache/4.jpg", "a [1].jpg"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def found(pattern: str, folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_photos(pattern).photos]


def test_a_folder_gives_all_that_can_be_seen_in_the_order_of_names(folder: Path) -> None:
    assert found(str(folder), folder) == ["a [1].jpg", "a.jpg", "b/1.png", "b/2.JPG", "b/c/3.webp"]


def test_a_file_is_taken_by_its_word(folder: Path) -> None:
    assert found(f"{folder}/a.jpg", folder) == ["a.jpg"]
    assert found(f"{folder}/a [1].jpg", folder) == ["a [1].jpg"], "not a glob"
    assert found(f"{folder}/notes.txt", folder) == ["notes.txt"]


def test_globs(folder: Path) -> None:
    assert found(f"{folder}/*", folder) == ["a [1].jpg", "a.jpg", "b/1.png", "b/2.JPG", "b/c/3.webp"]
    assert found(f"{folder}/b/*.png", folder) == ["b/1.png"]
    assert found(f"{folder}/**/*.webp", folder) == ["b/c/3.webp"]
    assert found(f"{folder}/?/[c]", folder) == ["b/c/3.webp"]


def test_a_relative_path_stays_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_photos("b/c").photos == [Path("b/c/3.webp")]


def test_nothing_there_or_no_image(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no such photo or folder"):
        find_photos(f"{folder}/none")
    with pytest.raises(DataError, match=r"there is no image \(\.jpg, "):
        find_photos(f"{folder}/*.txt")


def test_batches_in_order_with_what_cannot_be_read(tmp_path: Path) -> None:
    colours = {0: 10, 2: 30, 3: 40}
    for index, red in colours.items():
        Image.new("RGB", (4, 4), (red, 0, 0)).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"rubbish")
    (tmp_path / "4.png").write_bytes(b"")
    (tmp_path / "5.png").write_bytes(b"more rubbish")
    files = sorted(tmp_path.iterdir())

    def doubled(photo: Tensor) -> Tensor:
        return photo * 2

    photos = UnlabelledPhotos(files, doubled, max_pixels=100)
    batches: list[PhotoBatch] = list(photos.loader(batch_size=4, num_workers=0, worker_timeout=0))
    assert [batch.positions for batch in batches] == [[0, 2, 3], []]
    assert batches[0].photos is not None
    assert batches[0].photos.dtype == torch.uint8
    assert batches[0].photos[:, 0, 0, 0].tolist() == [20, 60, 80]
    assert batches[1].photos is None
    (reason,), (empty, rubbish) = batches[0].unreadable, batches[1].unreadable
    for name, sentence in (("1", reason), ("4", empty), ("5", rubbish)):
        assert f"{name}.png" in sentence


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    photos = UnlabelledPhotos([write(tmp_path / "large.png", (20, 20))], lambda photo: photo, max_pixels=399)
    _, photo, reason = photos[0]
    assert photo is None
    assert "20 × 20 pixels" in reason


def test_workers_only_where_there_is_something_to_do_beside(tmp_path: Path) -> None:
    photos = UnlabelledPhotos([write(tmp_path / "a.png")] * 9, lambda photo: photo, max_pixels=100)
    assert [photos.loader(batch_size=size, num_workers=1, worker_timeout=9).num_workers for size in (1, 8, 9)] == [
        1,
        1,
        0,
    ]
