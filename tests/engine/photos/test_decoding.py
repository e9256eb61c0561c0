"""Kinds of files that Pillow alone decodes differently from an image viewer."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from engine.errors import DataError
from engine.photos.images import LONGEST, check_images, read_image, read_thumbnail
from tests.pictures import LIMIT, flat_png, picture


def read(path: Path) -> np.ndarray:
    return read_image(path, LIMIT).permute(1, 2, 0).numpy().astype(int)


def png(path: Path, pixels: np.ndarray, *, bits: int, color: int, clear: bytes) -> Path:
    """A PNG (ISO 15948) of rows of bytes (H, bytes), of this color type, with a transparent color (tRNS)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = pixels.shape[1] * 8 // (bits * (3 if color == 2 else 1))
    header = struct.pack(">IIBBBBB", width, len(pixels), bits, color, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = chunk(b"IHDR", header) + chunk(b"tRNS", clear) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize(("bits", "levels"), [(1, 2), (2, 4), (4, 16)])
def test_a_transparent_grey_below_eight_bits(bits: int, levels: int, tmp_path: Path) -> None:
    values = np.arange(8 * 8).reshape(8, 8) % levels
    packed = np.packbits(((values[..., None] >> np.arange(bits)[::-1]) & 1).reshape(8, -1).astype(np.uint8), axis=1)
    path = png(tmp_path / "1.png", packed, bits=bits, color=0, clear=struct.pack(">H", 1))
    expected = np.where(values == 1, 255, values * 255 // (levels - 1))
    assert np.array_equal(read(path)[..., 0], expected)


def test_a_transparent_sixteen_bit_grey(tmp_path: Path) -> None:
    values = np.array([[0x1234, 0x1235, 0], [65535, 0x1234, 0x3412]])
    path = png(
        tmp_path / "1.png", values.astype(">u2").view(np.uint8), bits=16, color=0, clear=struct.pack(">H", 0x1234)
    )
    assert np.array_equal(read(path)[..., 2], np.where(values == 0x1234, 255, np.rint(values / 257)))


def test_a_transparent_sixteen_bit_color(tmp_path: Path) -> None:
    """Colors that agree with it in their high bytes alone stay."""
    colors = np.array([[(0x1234, 0x2345, 0x3456), (0x1299, 0x2345, 0x3456)]])
    rows = colors.reshape(1, -1).astype(">u2").view(np.uint8)
    path = png(tmp_path / "1.png", rows, bits=16, color=2, clear=struct.pack(">HHH", *colors[0, 0].tolist()))
    assert read(path).tolist() == [[[255, 255, 255], [0x12, 0x23, 0x34]]]


def tiff(path: Path, pixels: np.ndarray, **tags: int) -> Path:
    """An uncompressed little-endian TIFF 6.0 of uint16 pixels (H, W) or, in separate planes, (3, H, W)."""
    planes = pixels[None] if pixels.ndim == 2 else pixels
    count, (height, width) = len(planes), planes.shape[1:]
    names = {"photometric": 262, "planes": 284}
    data = planes.astype("<u2").tobytes()
    size = len(data) // count
    at = 8
    offsets, sizes, depth = at + len(data), at + len(data) + 4 * count, at + len(data) + 8 * count
    extra = struct.pack(f"<{2 * count}I", *(at + size * plane for plane in range(count)), *[size] * count)
    extra += struct.pack(f"<{count}H", *[16] * count)
    one = count == 1
    entries = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, count, 16 if one else depth),
        259: (3, 1, 1),
        273: (4, count, at if one else offsets),
        277: (3, 1, count),
        278: (4, 1, height),
        279: (4, count, size if one else sizes),
        **{names[name]: (3, 1, value) for name, value in tags.items()},
    }
    table = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    body = data + extra
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, at + len(body)) + body + struct.pack("<H", len(entries)) + table + bytes(4)
    )
    return path


@pytest.mark.parametrize("photometric", [0, 1])
def test_sixteen_bit_grey_in_which_zero_is_white(photometric: int, tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 60).round().reshape(6, 10)
    path = tiff(tmp_path / "1.tif", values, photometric=photometric)
    assert np.array_equal(read(path)[..., 0], np.rint((values if photometric else 65535 - values) / 257))


def test_sixteen_bit_color_in_separate_planes_is_refused_before_training(tmp_path: Path) -> None:
    path = tiff(tmp_path / "1.tif", np.full((3, 4, 5), 30_000), photometric=2, planes=2)
    for use in (lambda: read_image(path, LIMIT), lambda: check_images([path], LIMIT)):
        with pytest.raises(DataError, match=r"1\.tif is a TIFF of 16-bit color in separate planes: save it as PNG"):
            use()


# Color profiles -------------------------------------------------------------------------------------------------------


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def swapped_profile() -> bytes:
    """sRGB's, but for the primaries of red and blue, which have changed places."""
    content = bytearray(profile("sRGB"))
    tags = {
        bytes(content[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack(">I", content[128:132])[0], 12)
    }
    red, blue = (tags[name] for name in (b"rXYZ", b"bXYZ"))
    content[red + 4 : red + 8], content[blue + 4 : blue + 8] = content[blue + 4 : blue + 8], content[red + 4 : red + 8]
    return bytes(content)


@pytest.mark.parametrize("name", ["1.jpg", "1.png", "1.tiff", "1.webp"])
def test_profiles_are_converted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, tagged, odd = tmp_path / name, tmp_path / f"srgb_{name}", tmp_path / f"odd_{name}"
    settings: dict[str, Any] = {"quality": 95, "lossless": True} if name.endswith(("jpg", "webp")) else {}
    picture("RGB").save(plain, **settings)
    picture("RGB").save(tagged, icc_profile=profile("sRGB"), **settings)
    picture("RGB").save(odd, icc_profile=swapped_profile(), **settings)
    assert np.array_equal(read(tagged), read(plain)), "sRGB stays to the bit"
    assert np.abs(read(odd) - read(plain)[..., ::-1]).max() <= 3, "red is shown as blue"
    assert read_image(odd, LIMIT).stride() == read_image(plain, LIMIT).stride()
    thumbnail = read_thumbnail(odd, 8, LIMIT).int() - read_thumbnail(plain, 8, LIMIT).flip(0).int()
    assert thumbnail.abs().max() <= 12


def test_a_damaged_profile_is_passed_over(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "1.png", icc_profile=b"none")
    picture("RGB").save(tmp_path / "2.png")
    assert np.array_equal(read(tmp_path / "1.png"), read(tmp_path / "2.png"))


# JPEG -----------------------------------------------------------------------------------------------------------------


def two_pictures(path: Path) -> Path:
    first = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    first.save(path, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64), "red")])
    return path


def test_of_two_pictures_the_first_is_read_as_any_jpeg(tmp_path: Path) -> None:
    path = two_pictures(tmp_path / "1.jpg")
    with Image.open(path) as image:
        assert image.format == "MPO"
        expected = np.asarray(image.convert("RGB"), dtype=int)
    assert np.abs(read(path) - expected).max() <= 3


def test_a_cut_file_of_two_pictures_is_found_before_training(tmp_path: Path) -> None:
    path = two_pictures(tmp_path / "1.jpg")
    content = path.read_bytes()
    second = content.find(b"\xff\xd8", 4)
    path.write_bytes(content[: second // 2])
    with pytest.raises(DataError, match="it is cut short"):
        check_images([path], LIMIT)
    path.write_bytes(content[: second + 40])
    check_images([path], LIMIT)  # the first is whole


LOSSLESS = (
    b"\xff\xd8\xff\xc3\0\x0b\x08\0\x10\0\x10\1\1\x11\0"  # SOF3, 8 bits, 16 × 16, one component
    b"\xff\xc4\0\x14\0\1" + bytes(15) + b"\0"  # DHT: one code, for a difference of 0
    b"\xff\xda\0\x08\1\1\0\1\0\0" + bytes(32) + b"\xff\xd9"  # SOS, predictor 1
)


def test_a_thumbnail_of_a_jpeg_that_has_no_smaller_sizes(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(LOSSLESS)
    try:
        whole = read_image(path, LIMIT)
    except DataError:
        pytest.skip("this libjpeg reads no lossless JPEG")
    assert torch.equal(read_thumbnail(path, 4, LIMIT), whole[:, :4, :4])


# Sizes and kinds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(60_000, 1), (1, 60_000), (70_000, 2)])
def test_of_a_strip_the_middle_is_read(width: int, height: int, tmp_path: Path) -> None:
    levels = np.tile(np.arange(width) // 256, (height, 1)) if width > height else np.arange(height)[:, None] // 256
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "1.png")
    short = min(width, height)
    pixels = read(tmp_path / "1.png")
    assert sorted(pixels.shape[:2]) == [short, LONGEST * short]
    middle = max(width, height) // 2
    assert abs(int(pixels.mean()) - middle // 256) <= 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photo: pip install -e '.[heic]', or convert it to JPEG"),
        (b"\xff\x0a" + bytes(40), "a JPEG XL image: convert it"),
        (b"8BPS" + bytes(40), "a Photoshop file: export it"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing: export it"),
        (b"\n<!DOCTYPE html><title>404</title>", "a web page and no image: download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer: fetch the photo with"),
        (b"%PDF-1.7", "a PDF: export"),
    ],
)
def test_another_kind_of_file_is_called_by_its_name(
    content: bytes, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.photos.formats.READS_HEIC", False)
    (tmp_path / "1.jpg").write_bytes(content)
    with pytest.raises(DataError) as caught:
        check_images([tmp_path / "1.jpg"], LIMIT)
    assert str(caught.value).startswith(f"{tmp_path}/1.jpg is {says}")


def test_avif(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "1.avif", quality=95)
    assert np.abs(read(tmp_path / "1.avif") - np.asarray(picture("RGB"), dtype=int)).mean() < 4


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(picture("RGB")).save(tmp_path / "1.heic", quality=95)
    assert np.abs(read(tmp_path / "1.heic") - np.asarray(picture("RGB"), dtype=int)).mean() < 6


def test_a_flat_png_is_no_strip(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(flat_png(3, 2))
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(tmp_path / "1.png", LIMIT)
    buffer = io.BytesIO()
    picture("RGB").save(buffer, "PNG")
    (tmp_path / "2.png").write_bytes(buffer.getvalue())
    assert read(tmp_path / "2.png").shape == (40, 60, 3)
