"""Decodes an opened image file to the pixels that an image viewer would show."""

import io
import re
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import COMPRESSION_INFO
from torch import Tensor
from torchvision.io import ImageReadMode  # and torch.ops.image

from engine.photos.formats import OtherKindError
from engine.photos.library_messages import libjpegs_messages, silence_libtiff

ORIENTATION = 0x0112
"""The EXIF tag. Its value v says what to do with the stored image: transpose it from 5 on, then flip _FLIPS[v]."""

_FLIPS: dict[int, tuple[int, ...]] = {2: (2,), 3: (1, 2), 4: (1,), 5: (), 6: (2,), 7: (1, 2), 8: (1,)}

BITS, COMPRESSION, PHOTOMETRIC, PLANES, TIFF_TILES = 258, 259, 262, 284, 322
"""Tags of TIFF (TIFF 6.0)."""

JPEG_MODES = {"RGB": ImageReadMode.RGB, "L": ImageReadMode.RGB, "CMYK": ImageReadMode.UNCHANGED}
"""How a JPEG is decoded, by Pillow's name for its colors."""

SAME_COLORS = 4
"""Of 255: profiles that change no color by more count as sRGB, as those of many cameras do."""

# Of damaged EXIF data, without the file's name: the orientation is left at 1 then, as in every viewer.
warnings.filterwarnings("ignore", module=r"PIL\.")
silence_libtiff()


def decode(image: Image.Image, data: bytes, damage: list[str] | None = None) -> Tensor:
    """The pixels as stored, (3, H, W) uint8 sRGB. `image` is `data` opened; only its header has been read so far.

    If the data of a JPEG is damaged, the decoder's messages are appended to `damage`.
    """
    pixels = _fast_jpeg(image, data, [] if damage is None else damage)
    if pixels is None:
        refuse_what_pillow_misreads(image)
        if image.mode.startswith("I"):
            return _sixteen_bit_grey(image)
        if image.mode == "CMYK" and (converter := _to_srgb(image)):
            return _tensor(converter(image))
        clear = _transparent(image, data)
        if clear is None and image.has_transparency_data:
            opaque = Image.new("RGBA", image.size, "white")
            pixels = _tensor(Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB"))
        else:
            pixels = _tensor(image if image.mode == "RGB" else image.convert("RGB"))
            if clear is not None:
                pixels[:, torch.from_numpy(clear)] = 255
    return _in_srgb(pixels, image)


def refuse_what_pillow_misreads(image: Image.Image) -> None:
    """OtherKindError for 16-bit color in separate, uncompressed planes, which Pillow reads as 8-bit noise."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(PLANES) == 2 and tags.get(COMPRESSION, 1) == 1 and max(tags.get(BITS, (8,))) > 8:
        raise OtherKindError("a TIFF of 16-bit color in separate planes: save it as PNG, or with interleaved color")


def why_not_decoded(image: Image.Image, error: Exception) -> str:
    """Why an opened image cannot be decoded, judging by the error or by a TIFF's compression."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    if image.format != "TIFF" or not text.startswith("decoder error"):
        return text
    number: Any = getattr(image, "tag_v2", {}).get(COMPRESSION)
    name = COMPRESSION_INFO.get(number, str(number)).replace("_", " ").removeprefix("tiff ")
    return f"its data, compressed by {name}, is damaged, or cannot be unpacked here"


def _fast_jpeg(image: Image.Image, data: bytes, damage: list[str]) -> Tensor | None:
    """Decodes a JPEG straight into a tensor, without Pillow's four-byte pixels and two copies.

    None for other images, and for CMYK, which Pillow converts: of that, only the damage is noted. It calls the operator
    beneath torchvision.io.decode_jpeg, which is deprecated since 0.29 and may be removed.
    """
    mode = JPEG_MODES.get(image.mode) if image.format in ("JPEG", "MPO") else None
    if mode is None or not data or not hasattr(torch.ops.image, "decode_jpeg"):
        return None
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        with libjpegs_messages() as messages:
            pixels: Tensor = torch.ops.image.decode_jpeg(encoded, mode.value, False)
    except RuntimeError as error:
        if "incomplete or truncated" in str(error):
            raise ValueError("it is cut short") from error
        return None  # Pillow may know it, or says what is wrong with it
    damage += [message for message in messages if _tells_of_damage(message, data)]
    return pixels if mode == ImageReadMode.RGB else None


def _tells_of_damage(message: str, data: bytes) -> bool:
    """Whether a message of libjpeg means damaged image data, not just a quirk of the program that wrote the file."""
    if not message.startswith(("Corrupt JPEG data", "Premature end")):
        return False  # of the header
    left = re.search(r"(\d+) extraneous bytes before marker 0xd9", message)
    # Some cameras fill up with equal bytes before the end mark.
    return left is None or len(set(data[: data.rfind(b"\xff\xd9")][-int(left[1]) :])) > 1


def _tensor(image: Image.Image) -> Tensor:
    """An RGB image as (3, H, W), in channels-last memory layout."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1)


def _sixteen_bit_grey(image: Image.Image) -> Tensor:
    """Grey values from 0 to 65,535 as (3, H, W) uint8; a PNG's transparent color becomes white. Raises ValueError."""
    grey = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 65535:
        raise ValueError(f"values from {grey.min()} to {grey.max()} do not fit 16 bits")
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0:  # 0 is white
        grey = 65535 - grey
    if isinstance(clear := image.info.get("transparency"), int):
        grey = np.where(grey == clear, 65535, grey)
    # 65,535 = 255 · 257, so this is v · 255 / 65,535, rounded.
    return torch.from_numpy(((grey + 128) // 257).astype(np.uint8)).expand(3, -1, -1)


def _transparent(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Where a PNG has its transparent color (tRNS), (H, W), if it is not stored in 8 bits.

    Pillow compares that color, at the file's bit depth, with pixels scaled to 8 bits.
    """
    clear, bits = image.info.get("transparency"), data[24] if image.format == "PNG" and len(data) > 24 else 8
    if isinstance(clear, int) and image.mode == "L" and bits in (2, 4):
        return np.asarray(image) == clear * 255 // (2**bits - 1)
    if isinstance(clear, tuple) and image.mode == "RGB" and bits == 16:
        low: Any = Image.open(io.BytesIO(data))
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]  # the other byte of each number
        stored = np.asarray(image).astype(int) * 256 + np.asarray(low)
        found: np.ndarray = (stored == np.array(clear)).all(axis=2)
        return found
    return None


# Colors ---------------------------------------------------------------------------------------------------------------


def _in_srgb(pixels: Tensor, image: Image.Image) -> Tensor:
    """Pixels (3, H, W) of an image without a color profile, or with one for RGB."""
    converter = _to_srgb(image) if image.mode in ("RGB", "RGBA", "P", "PA") else None
    if converter is None:
        return pixels
    return _tensor(converter(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())))


def _to_srgb(image: Image.Image) -> Any:
    """The transform from an image's color profile to sRGB; None if it is sRGB already, missing, or damaged."""
    profile = image.info.get("icc_profile")
    return _converter(profile, "CMYK" if image.mode == "CMYK" else "RGB") if profile else None


@lru_cache(maxsize=32)
def _converter(profile: bytes, mode: str) -> Any:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform: Any = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "RGB":
        levels = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), axis=-1).reshape(1, -1, 3).astype(np.uint8)
        shown = np.asarray(transform.apply(Image.fromarray(levels)))
        if np.abs(shown.astype(int) - levels).max() <= SAME_COLORS:
            return None
    return transform.apply


# Orientation ----------------------------------------------------------------------------------------------------------


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (as stored) if it is missing or damaged, as in every viewer."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in _FLIPS else 1


def upright(pixels: Tensor, orientation: int) -> Tensor:
    """(3, H, W) turned upright: (3, W, H) from orientation 5 on."""
    if orientation == 1:
        return pixels
    stored = pixels.transpose(1, 2) if orientation >= 5 else pixels
    return stored.flip(_FLIPS[orientation])
