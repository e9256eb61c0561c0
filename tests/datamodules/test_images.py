"""Against Pillow's own conversions, on images drawn here."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from datamodules import images
from datamodules.errors import DataError
from datamodules.images import FORMATS, check_images, read_image

LIMIT = 1_000_000
HEIGHT, WIDTH = 40, 60

# Two builds of libjpeg may differ by a level or two in their rounding, and in how they enlarge the chroma.
JPEG_TOLERANCE = 3


def gradient(channels: int) -> np.ndarray:
    """A smooth image (H, W, channels), uint8, no two corners of which are alike."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [4 * x, 6 * y, 255 - 4 * x, 128 + 2 * x - 3 * y]
    return np.stack(planes[:channels], axis=-1).astype(np.uint8)


def picture(mode: str) -> Image.Image:
    if mode in ("1", "P"):
        return Image.fromarray(gradient(3)).convert(mode)
    array = gradient(len(mode))
    return Image.frombytes(mode, (WIDTH, HEIGHT), array.tobytes())


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def read(path: Path) -> np.ndarray:
    """The image as (H, W, 3) integers, as Pillow would give it."""
    tensor = read_image(path, LIMIT)
    assert tensor.dtype == torch.uint8
    assert tensor.shape[0] == 3
    return tensor.permute(1, 2, 0).numpy().astype(int)


def flat_png(width: int, height: int) -> bytes:
    """A grey PNG of any size in a few bytes, which no encoder had to hold in memory."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_photo_is_as_pillow_decodes_it(tmp_path: Path, subsampling: int, progressive: bool) -> None:
    path = tmp_path / "1.jpg"
    picture("RGB").save(path, subsampling=subsampling, progressive=progressive)
    assert np.abs(read(path) - np.asarray(opened(path), dtype=int)).max() <= JPEG_TOLERANCE


def test_photo_is_decoded_without_torchvision_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.jpg"
    picture("RGB").save(path)
    fast = read_image(path, LIMIT)
    monkeypatch.setattr(torch.ops, "image", object())
    slow = read_image(path, LIMIT)
    assert fast.stride() == slow.stride()
    assert (fast.int() - slow.int()).abs().max() <= JPEG_TOLERANCE


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *[("RGB", name) for name in ("1.png", "1.bmp", "1.ppm", "1.tiff")],
        *[("L", name) for name in ("1.jpg", "1.png", "1.tif", "1.pgm", "1.bmp")],
        *[("P", name) for name in ("1.png", "1.bmp", "1.tiff")],
        ("1", "1.png"),
        ("1", "1.tiff"),
        ("CMYK", "1.jpg"),
        ("CMYK", "1.tiff"),
    ],
)
def test_opaque_modes_are_converted(tmp_path: Path, mode: str, name: str) -> None:
    path = tmp_path / name
    picture(mode).save(path)
    expected = np.asarray(opened(path).convert("RGB"), dtype=int)
    assert expected.std() > 20
    assert np.array_equal(read(path), expected)


@pytest.mark.parametrize(("mode", "name"), [("RGBA", "1.png"), ("LA", "1.png"), ("RGBA", "1.webp"), ("RGBA", "1.tiff")])
def test_transparency_is_composited_on_white(tmp_path: Path, mode: str, name: str) -> None:
    path = tmp_path / name
    picture(mode).save(path, lossless=True, exact=True)
    stored = np.asarray(opened(path), dtype=float)
    colour, alpha = stored[..., :-1], stored[..., -1:] / 255
    assert alpha.min() < 0.2
    assert np.abs(read(path) - (colour * alpha + 255 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_transparent_colour_turns_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "1.png"
    image = picture(mode)
    corner = image.getpixel((0, 0))
    image.save(path, transparency=corner)
    clear = np.asarray(image).reshape(HEIGHT, WIDTH, -1) == np.array(corner)
    expected = np.where(clear.all(axis=-1, keepdims=True), 255, np.asarray(image.convert("RGB"), dtype=int))
    assert np.array_equal(read(path), expected)


@pytest.mark.parametrize("name", ["1.png", "1.tiff", "big-endian.tiff", "1.pgm"])
def test_sixteen_bits_are_rescaled_not_clipped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    values = np.linspace(0, 65535, HEIGHT * WIDTH).round().astype(np.uint16).reshape(HEIGHT, WIDTH)
    if name == "big-endian.tiff":
        Image.frombytes("I;16B", (WIDTH, HEIGHT), values.astype(">u2").tobytes()).save(path)
    elif name == "1.pgm":
        path.write_bytes(f"P5 {WIDTH} {HEIGHT} 65535 ".encode() + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path)
    assert np.array_equal(read(path)[..., 1], np.rint(values * (255 / 65535)).astype(int))


def test_integers_beyond_sixteen_bits_and_floats_are_refused(tmp_path: Path) -> None:
    integers, floats = tmp_path / "i.tiff", tmp_path / "f.tiff"
    Image.fromarray(np.array([[0, 65536]], dtype=np.int32)).save(integers)
    Image.fromarray(np.array([[0.0, 0.5]], dtype=np.float32)).save(floats)
    with pytest.raises(DataError, match=r"i\.tiff .*0 to 65536 do not fit"):
        read_image(integers, LIMIT)
    with pytest.raises(DataError, match=r"f\.tiff .*no known range"):
        read_image(floats, LIMIT)


@pytest.mark.parametrize("name", ["1.webp", "1.tiff", "1.png", "gif-inside.png"])
def test_animation_gives_its_first_frame(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    first = picture("RGB").quantize(64).convert("RGB")
    other = Image.new("RGB", first.size, "red")
    kind = "GIF" if name == "gif-inside.png" else None
    first.save(path, format=kind, save_all=True, append_images=[other], lossless=True)
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert np.array_equal(read(path), np.asarray(first, dtype=int))


@pytest.mark.parametrize("name", ["rgb.jpg", "grey.jpg", "1.png", "1.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    path = tmp_path / name
    # Each corner has a grey level of its own, so all eight orientations differ.
    levels = np.kron([[0, 80], [160, 240]], np.ones((HEIGHT // 2, WIDTH // 2))).astype(np.uint8)
    upright = Image.fromarray(levels)
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (stored if name == "grey.jpg" else stored.convert("RGB")).save(path, exif=exif, quality=95, lossless=True)
    pixels = read(path)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(pixels - levels[..., None]).max() <= 8


UNKNOWN = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"  # orientation 99


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", UNKNOWN, UNKNOWN[:-4], UNKNOWN[:20]])
def test_damaged_orientation_leaves_the_photo_as_stored(tmp_path: Path, exif: bytes) -> None:
    path = tmp_path / "1.jpg"
    picture("RGB").save(path, exif=exif)
    assert read(path).shape == (HEIGHT, WIDTH, 3)


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
