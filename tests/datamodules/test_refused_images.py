"""Files that are no images, cut or too large, and the check for them before a training."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from engine.errors import DataError
from engine.photos import images
from engine.photos.formats import FORMATS
from engine.photos.images import check_images, read_image
from tests.pictures import HEIGHT, LIMIT, WIDTH, flat_png, picture


def test_image_above_the_limit_is_named_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    path.write_bytes(flat_png(1001, 1000))
    with pytest.raises(DataError, match=r"1\.png has 1001 × 1000 pixels where at most 1,000,000"):
        read_image(path, LIMIT)
    picture("RGB").save(path)
    read_image(path, HEIGHT * WIDTH)
    with pytest.raises(DataError, match="pixels"):
        read_image(path, HEIGHT * WIDTH - 1)


@pytest.mark.parametrize("megapixels", [100, 200])
def test_enormous_image_is_allowed_by_the_setting_alone(tmp_path: Path, megapixels: int) -> None:
    """Pillow by itself warns of the smaller one and refuses the larger one."""
    path = tmp_path / "1.png"
    path.write_bytes(flat_png(10_000, megapixels * 100))
    for limit in (LIMIT, megapixels * 10**6 - 1):
        with pytest.raises(
            DataError, match=rf"1\.png has 10000 × {megapixels}00 pixels .* raise datamodule.max_pixels"
        ):
            read_image(path, limit)
    check_images([path], megapixels * 10**6)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole, which takes no room
    with pytest.raises(
        DataError, match=r"1\.png has 1,000,000,000,000 bytes, too many for .* at most 1,000,000 pixels"
    ):
        read_image(path, LIMIT)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_named_and_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "1.jpg"
    if kind == "pipe":
        os.mkfifo(path)  # reading it would wait for ever
    elif kind == "device":
        path.symlink_to("/dev/zero")  # reading it would take all memory
    else:
        path.mkdir()
    with pytest.raises(DataError, match=r"1\.jpg is a folder, pipe or device where an image file was expected"):
        read_image(path, LIMIT)


def test_sound_images_pass_the_check(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("1.jpg", "1.png", "1.bmp", "1.tiff", "1.webp", "1.ppm")]
    for file in files:
        picture("RGB").save(file)
    picture("CMYK").save(tmp_path / "cmyk.jpg")
    files.append(tmp_path / "cmyk.jpg")
    check_images(files, LIMIT)
    files[0].write_bytes(files[0].read_bytes() + b"some cameras write more after the end")
    check_images(files, LIMIT)
    check_images([], LIMIT)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.95, 0.999])
@pytest.mark.parametrize("name", ["1.jpg", "1.png", "progressive.jpg", "preview.jpg"])
def test_check_finds_a_cut_photo_without_decoding_it(
    tmp_path: Path, name: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    preview = io.BytesIO()
    Image.fromarray(noise[:16, :16]).save(preview, "JPEG")
    options: dict[str, Any] = {"progressive.jpg": {"progressive": True}, "preview.jpg": {"comment": preview.getvalue()}}
    Image.fromarray(noise).save(path, **options.get(name, {}))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("it was decoded"))
    check_images([path], LIMIT)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=name):
        check_images([path], LIMIT)


def test_check_names_the_first_files_at_fault(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.jpg" for index in range(8)]
    for file in files:
        picture("RGB").save(file)
    for file in files[2:]:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"2\.jpg is empty: .*; of the other images 5 .*3\.jpg, .*4\.jpg, .*5\.jpg\.$"):
        check_images(files, LIMIT)


def test_check_of_many_files_takes_some_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "CHECKED", 10)
    opened: list[Path] = []
    monkeypatch.setattr(images, "_read", lambda path, _: opened.append(path) or flat_png(1, 1))
    check_images([Path(str(index)) for index in range(1000)], LIMIT)
    assert [int(str(path)) for path in opened] == list(range(0, 1000, 100))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.7, 0.95, 0.999])
@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("1.jpg", "RGB", {}),
        ("progressive.jpg", "RGB", {"progressive": True}),
        ("grey.jpg", "L", {}),
        ("cmyk.jpg", "CMYK", {}),
        ("1.png", "RGB", {}),
        ("1.webp", "RGB", {"lossless": True}),
        ("1.bmp", "RGB", {}),
        ("1.ppm", "RGB", {}),
        ("1.tiff", "RGB", {}),
        ("lzw.tiff", "RGB", {"compression": "tiff_lzw"}),
    ],
)
def test_cut_file_is_named(tmp_path: Path, name: str, mode: str, options: dict[str, Any], share: float) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, len(mode)), dtype=np.uint8)
    Image.frombytes(mode, (160, 120), noise.tobytes()).save(path, **options)
    read_image(path, LIMIT)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=name):
        read_image(path, LIMIT)


def test_cut_of_a_single_byte_is_found_in_a_photo(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    picture("RGB").save(path)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DataError, match=r"1\.jpg cannot be decoded"):
        read_image(path, LIMIT)
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))  # a file that was allocated, not filled
    with pytest.raises(DataError, match=r"1\.jpg cannot be decoded"):
        read_image(path, LIMIT)
    path.write_bytes(data + b"some cameras write more after the end")
    read_image(path, LIMIT)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", bytes(1000), b"GIF89a"])
def test_garbage_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage.jpg"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"garbage\.jpg") as caught:
        read_image(path, LIMIT)
    assert "BytesIO" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"II*\0", "TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    ],
)
def test_a_damaged_file_is_called_by_its_kind(start: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(start + bytes(100))
    with pytest.raises(DataError, match=rf"1\.jpg is a damaged {kind} file: repair it, or remove it"):
        read_image(path, LIMIT)


def test_program_in_the_place_of_an_image_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    buffer = io.BytesIO()
    picture("RGB").save(buffer, "EPS")
    path.write_bytes(buffer.getvalue())
    assert "EPS" not in FORMATS
    with pytest.raises(DataError, match="known format"):
        read_image(path, LIMIT)


def test_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"missing\.jpg cannot be read \(No such file"):
        read_image(tmp_path / "missing.jpg", LIMIT)

    (tmp_path / "1.jpg").write_bytes(b"some")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root, as in containers, may read whatever its mode
    with pytest.raises(DataError, match=r"1\.jpg cannot be read \(Permission denied\)"):
        read_image(tmp_path / "1.jpg", LIMIT)
