"""Image files of any kind to tensors of one kind."""

import io
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torchvision.io
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from engine.errors import DataError

# What else Pillow can open stays shut: of those formats, EPS would start Ghostscript on a stranger's program.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")

SUFFIXES = (*IMG_EXTENSIONS, ".jfif", ".jif", ".jpe", ".pnm", ".dib")
"""By which files count as photos, in any case: torchvision's, and other names of the same formats. GIFs do not."""

CHECKED = 10_000
"""How many images are looked at before training: some 0.2 ms each if the disk has them at hand."""

BYTES_A_PIXEL = 16
"""No sound file takes more: four channels of 32 bits, uncompressed."""

ORIENTATION = 0x0112
"""The EXIF tag. Its value v says what to do with the stored image: transpose it from 5 on, then flip _FLIPS[v]."""

_FLIPS: dict[int, tuple[int, ...]] = {2: (2,), 3: (1, 2), 4: (1,), 5: (), 6: (2,), 7: (1, 2), 8: (1,)}


def read_image(path: Path, max_pixels: int) -> Tensor:
    """The first (or only) picture in an image file, upright, as (3, H, W) uint8 RGB, laid out in memory as (H, W, 3).

    EXIF orientation is applied. Transparency is composited on white. 16-bit grey is rescaled to 8 bits, v · 255 /
    65535 rounded, and so are 32-bit integers, whose values must lie in that range; 16-bit colour keeps its high byte.
    CMYK is converted without its colour profile. Wrong bits amid a JPEG's picture go unseen: it has no check sum.

    Raises:
        DataError: the file cannot be read, is empty, no image or cut short, holds more than `max_pixels` (which is
            known before it is decoded, and is the only limit), or values without a known range.
    """
    with _opened(path, max_pixels) as (image, stream):
        return _upright(_decode(image, stream.getvalue()), _orientation(image))


def image_tensor(image: Image.Image) -> Tensor:
    """An image that is open already, as read_image gives one."""
    return _upright(_decode(image.copy(), b""), _orientation(image))  # a copy is no JPEG any more


def read_thumbnail(path: Path, side: int, max_pixels: int) -> Tensor:
    """The middle of what read_image gives, scaled to (3, side, side). A JPEG is decoded no larger than need be.

    Raises:
        DataError: as read_image.
    """
    with _opened(path, max_pixels) as (image, stream):
        if image.format == "JPEG" and image.mode == "RGB":
            image.draft("RGB", (side, side))  # to a half, a quarter or an eighth, while that is large enough
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        else:
            pixels = _decode(image, stream.getvalue())
        upright = _upright(pixels, _orientation(image)).permute(1, 2, 0).numpy()
    thumbnail = ImageOps.fit(Image.fromarray(upright), (side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(thumbnail)).permute(2, 0, 1)


def check_images(files: Sequence[Path], max_pixels: int) -> None:
    """Finds before training what would end it later: looks at image files without decoding them.

    Of more than CHECKED files it looks at about as many, evenly spread. What only decoding shows is left to read_image.

    Raises:
        DataError: a file cannot be read, is empty, no image or above `max_pixels`, or is a JPEG or PNG that is cut
            short; it names the first such files.
    """
    bad: list[tuple[Path, DataError]] = []
    for path in files[:: max(1, len(files) // CHECKED)]:
        try:
            with _opened(path, max_pixels) as (image, stream):
                if _is_cut(image, stream):
                    raise ValueError("it is cut short")
        except DataError as error:
            bad.append((path, error))
    if len(bad) == 1:
        raise bad[0][1]
    if bad:
        names = ", ".join(str(path) for path, _ in bad[1:4])
        raise DataError(f"{str(bad[0][1])[:-1]}; of the other images {len(bad) - 1} cannot be used either: {names}.")


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[tuple[Image.Image, io.BytesIO]]:
    """An image and its file's bytes, of which the header has been read; DataError for all that goes wrong with it."""
    stream = io.BytesIO(_read(path, max_pixels))
    try:
        with _open(stream) as image:
            width, height = image.size
            if width * height <= max_pixels:
                if image.mode == "F":
                    raise ValueError("floating-point values have no known range")
                yield image, stream
                return
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image of a known format: repair it, or remove it.") from error
    except MemoryError as error:
        raise DataError(
            f"{path} takes more memory than there is: scale it down, remove it, or lower datamodule.num_workers."
        ) from error
    except Exception as error:  # on rubbish, Pillow's plug-ins raise nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be decoded as an image ({reason}): repair it, or remove it.") from error
    raise DataError(
        f"{path} has {width} × {height} pixels where at most {max_pixels:,} are allowed: "
        "scale it down, remove it, or raise datamodule.max_pixels."
    )


def _read(path: Path, max_pixels: int) -> bytes:
    """The bytes of an image file, of which only so many are believed to be one; DataError if they cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
            raise DataError(f"{path} is a folder, pipe or device where an image file was expected: remove it.")
        if not status.st_size:
            raise DataError(f"{path} is empty: repair it, or remove it.")
        if status.st_size > BYTES_A_PIXEL * max(max_pixels, 1 << 16):
            raise DataError(
                f"{path} has {status.st_size:,} bytes, too many for an image of at most {max_pixels:,} pixels: "
                "scale it down, remove it, or raise datamodule.max_pixels."
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): mend its link or its permissions, or remove it."
        ) from error


def _open(stream: io.BytesIO) -> Image.Image:
    """As Image.open, which also has a limit of its own on pixels: one setting of the process, for all its threads."""
    prefix = stream.getvalue()[:16]
    for name in FORMATS:
        if name not in Image.OPEN:
            Image.init()  # it registers the formats
        factory, accept = Image.OPEN[name]
        if accept is None or accept(prefix) is True:
            stream.seek(0)
            try:
                return factory(stream, "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # so its plug-ins say: not mine
                continue
    raise UnidentifiedImageError


def _is_cut(image: Image.Image, stream: io.BytesIO) -> bool:
    """Whether a JPEG or PNG, of which the header has been read, lacks its end mark."""
    if image.format == "JPEG":
        # Not in the header, where a preview has one, too; and not at the very end, where some cameras write more.
        return stream.getvalue().rfind(b"\xff\xd9") < stream.tell()
    return image.format == "PNG" and stream.getvalue().rfind(b"IEND") < 0


def _decode(image: Image.Image, data: bytes) -> Tensor:
    """The pixels as stored, (3, H, W); `image` is `data` opened, of which only the header has been read."""
    # An ordinary photo: libjpeg straight into a tensor, which saves Pillow's four-byte pixels and two copies. This is
    # the operator beneath torchvision.io.decode_jpeg, whose deprecation (0.29) and possible end are thus no matter.
    if image.format == "JPEG" and image.mode == "RGB" and hasattr(torch.ops.image, "decode_jpeg"):
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        rgb: Tensor = torch.ops.image.decode_jpeg(encoded, torchvision.io.ImageReadMode.RGB.value, False)
        return rgb
    if image.mode.startswith("I"):
        return _rescaled(np.asarray(image).astype(np.int64))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    rgb_image = image if image.mode == "RGB" else image.convert("RGB")
    pixels = torch.frombuffer(bytearray(rgb_image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1)


def _rescaled(grey: np.ndarray) -> Tensor:
    """Grey values (H, W) from 0 to 65,535 as (3, H, W) uint8."""
    if grey.min() < 0 or grey.max() > 65535:
        raise ValueError(f"values from {grey.min()} to {grey.max()} do not fit 16 bits")
    # 65,535 = 255 · 257, so this is v · 255 / 65,535, rounded.
    return torch.from_numpy(((grey + 128) // 257).astype(np.uint8)).expand(3, -1, -1)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, as stored, if there is none or it is damaged, as in every viewer."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in _FLIPS else 1


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    """(3, H, W) as it is meant to be seen, (3, W, H) from orientation 5 on."""
    if orientation == 1:
        return pixels
    stored = pixels.transpose(1, 2) if orientation >= 5 else pixels
    return stored.flip(_FLIPS[orientation])
