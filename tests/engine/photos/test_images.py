"""Against Pillow's own conversions, on images drawn here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import DataError
from engine.photos.images import read_image
from tests.pictures import HEIGHT, LIMIT, WIDTH, picture

# Two builds of libjpeg may differ by a level or two in their rounding, and in how they enlarge the chroma.
JPEG_TOLERANCE = 3


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
