"""Image files of any kind to tensors of one kind."""

import io
from pathlib import Path

import numpy as np
import torch
import torchvision.io
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from datamodules.errors import DataError

# What else Pillow can open stays shut: of those formats, EPS would start Ghostscript on a stranger's program.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")

ORIENTATION = 0x0112
"""The EXIF tag. Its value v says what to do with the stored image: transpose it from 5 on, then flip _FLIPS[v]."""

_FLIPS: dict[int, tuple[int, ...]] = {2: (2,), 3: (1, 2), 4: (1,), 5: (), 6: (2,), 7: (1, 2), 8: (1,)}


def read_image(path: Path, max_pixels: int) -> Tensor:
    """The first (or only) picture in an image file, upright, as (3, H, W) uint8 RGB, laid out in memory as (H, W, 3).

    EXIF orientation is applied. Transparency is composited on white. 16-bit grey is rescaled to 8 bits, v · 255 /
    65535 rounded, and so are 32-bit integers, whose values must lie in that range; 16-bit colour keeps its high byte.
    CMYK is converted without its colour profile.

    Raises:
        DataError: the file cannot be read, is no image, is cut short, holds more than `max_pixels` (which is known
            before it is decoded; Pillow's own limit of 179 million holds beside it), or values without a known range.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check its permissions, or remove it.") from error
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height <= max_pixels:
                return _upright(_decode(image, data), _orientation(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path} is too large to decode ({error}): scale it down, or remove it.") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image of a known format: repair it, or remove it.") from error
    except Exception as error:  # on rubbish, Pillow's plug-ins raise nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be decoded as an image ({reason}): repair it, or remove it.") from error
    raise DataError(
        f"{path} has {width} × {height} pixels where at most {max_pixels:,} are allowed: "
        "scale it down, remove it, or raise max_pixels."
    )


def _decode(image: Image.Image, data: bytes) -> Tensor:
    """The pixels as stored, (3, H, W); `image` is `data` opened, of which only the header has been read."""
    # An ordinary photo: libjpeg straight into a tensor, which saves Pillow's four-byte pixels and two copies. This is
    # the operator beneath torchvision.io.decode_jpeg, whose deprecation (0.29) and possible end are thus no matter.
    if image.format == "JPEG" and image.mode == "RGB" and hasattr(torch.ops.image, "decode_jpeg"):
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        rgb: Tensor = torch.ops.image.decode_jpeg(encoded, torchvision.io.ImageReadMode.RGB.value, False)
        return rgb
    if image.mode == "F":
        raise ValueError("floating-point values have no known range")
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
