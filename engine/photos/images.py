"""Reads image files of any kind as tensors of one kind."""

import io
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from engine.errors import DataError
from engine.photos.decoding import decode, orientation, refuse_what_pillow_misreads, upright, why_not_decoded
from engine.photos.formats import OtherKindError, open_image
from engine.photos.photo_index import PhotoIndex, unreadable
from engine.process.activity import watched

CHECKED = 10_000
"""How many images are checked before training: some 0.2 ms each if they are in the page cache."""

BYTES_A_PIXEL = 16
"""No sound file takes more: four channels of 32 bits, uncompressed."""

LONGEST = 32
"""Of a picture that is more than this many times as long as wide only the middle is read.

A network sees the middle of a photo scaled to its shorter side, and a strip of one pixel would fill the memory before
it is cropped.
"""


def read_image(path: Path, max_pixels: int, damage: list[str] | None = None) -> Tensor:
    """The first (or only) picture in an image file, upright, as (3, H, W) uint8 sRGB in channels-last memory layout.

    EXIF orientation is applied, color profiles are converted to sRGB, transparency is composited on white. 16-bit grey
    is rescaled to 8 bits, v · 255 / 65535 rounded, and so are 32-bit integers, whose values must lie in that range;
    16-bit color keeps its high byte. CMYK without a color profile is converted by its definition. A strip more than
    LONGEST times as long as wide is cropped to its middle.

    A JPEG has no checksum: if its image data is damaged, the decoder returns what it can. If it reports the damage, its
    messages are appended to `damage`, unless other threads are decoding at that time.

    Raises:
        DataError: the file cannot be read, is empty, truncated or not an image, has more than `max_pixels` (checked
            before decoding, and the only limit), or has values of unknown range.
    """
    with _opened(path, max_pixels) as (image, stream):
        return _middle(upright(decode(image, stream.getvalue(), damage), orientation(image)))


def image_tensor(image: Image.Image) -> Tensor:
    """Like read_image, for an image that is already open."""
    return _middle(upright(decode(image.copy(), b""), orientation(image)))  # a copy is no JPEG any more


def _middle(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[1:]
    longest = LONGEST * min(height, width)
    if max(height, width) <= longest:
        return pixels
    top, left = max(0, (height - longest) // 2), max(0, (width - longest) // 2)
    return pixels[:, top : top + longest, left : left + longest].clone(memory_format=torch.preserve_format)


def read_thumbnail(path: Path, side: int, max_pixels: int) -> Tensor:
    """The center crop of what read_image returns, scaled to (3, side, side). JPEGs are decoded at a reduced size.

    Raises:
        DataError: as read_image.
    """
    with _opened(path, max_pixels) as (image, stream):
        turned = orientation(image)
        if image.format == "JPEG" and image.mode == "RGB" and "icc_profile" not in image.info:
            image.draft("RGB", (side, side))  # to a half, a quarter or an eighth, while that is large enough
            try:
                pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            except OSError:  # as of a lossless JPEG, which has no smaller sizes
                stream.seek(0)
                pixels = decode(open_image(stream), stream.getvalue())
        else:
            pixels = decode(image, stream.getvalue())
        shown = _middle(upright(pixels, turned)).permute(1, 2, 0).numpy()
    thumbnail = ImageOps.fit(Image.fromarray(shown), (side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(thumbnail)).permute(2, 0, 1)


class Look(NamedTuple):
    """What an image's header says: Pillow's names for its format and mode, and its size in pixels."""

    format: str
    mode: str
    width: int
    height: int
    has_profile: bool


def look_at(path: Path, max_pixels: int) -> Look:
    """Raises DataError if a file is unreadable, empty, not an image, above `max_pixels`, or a truncated JPEG or PNG."""
    with _opened(path, max_pixels) as (image, stream):
        if _is_cut(image, stream):
            raise ValueError("it is cut short")
        refuse_what_pillow_misreads(image)
        return Look(image.format or "", image.mode, *image.size, "icc_profile" in image.info)


def check_images(files: Sequence[Path], max_pixels: int, index: PhotoIndex | None = None) -> None:
    """Checks the headers of image files, without decoding them, for errors that would otherwise end the training.

    If there are more than CHECKED files, about that many are checked, evenly spread. Files that `index` knows to be
    sound are skipped. Errors that only decoding shows are left to read_image.

    Raises:
        DataError: a file is unreadable, empty, not an image, above `max_pixels`, or a truncated JPEG or PNG. The
            message names the first such files.
    """
    bad: list[tuple[Path, DataError]] = []
    positions = range(0, len(files), max(1, len(files) // CHECKED))
    unknown = [position for position in positions if index is None or not index.is_sound(position, max_pixels)]
    for position in watched(unknown, "checking", "photos"):
        try:
            look = look_at(files[position], max_pixels)
        except DataError as error:
            bad.append((files[position], error))
            continue
        if index is not None:
            index.found_sound(position, look.width * look.height)
    if index is not None:
        index.save()
    if len(bad) == 1:
        raise bad[0][1]
    if bad:
        names = ", ".join(str(path) for path, _ in bad[1:4])
        raise DataError(f"{str(bad[0][1])[:-1]}; of the other images {len(bad) - 1} cannot be used either: {names}.")


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[tuple[Image.Image, io.BytesIO]]:
    """An image with its header read, and its file's bytes. Raises DataError for anything that goes wrong."""
    stream = io.BytesIO(_read(path, max_pixels))
    opened: Image.Image | None = None
    try:
        with open_image(stream) as image:
            opened = image
            width, height = image.size
            if width * height <= max_pixels:
                if image.mode == "F":
                    raise ValueError("floating-point values have no known range")
                yield image, stream
                return
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image of a known format: repair it, or remove it.") from error
    except OtherKindError as error:
        raise DataError(f"{path} is {error}.") from error
    except MemoryError as error:
        raise DataError(
            f"{path} takes more memory than there is: scale it down, remove it, or lower datamodule.num_workers."
        ) from error
    except Exception as error:  # on rubbish, Pillow's plug-ins raise nearly anything
        reason = why_not_decoded(opened, error) if opened else (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be decoded as an image ({reason}): repair it, or remove it.") from error
    raise DataError(
        f"{path} has {width} × {height} pixels where at most {max_pixels:,} are allowed: "
        "scale it down, remove it, or raise datamodule.max_pixels."
    )


def _read(path: Path, max_pixels: int) -> bytes:
    """The bytes of an image file, which must not be too large to be one. Raises DataError if it cannot be read."""
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
        raise unreadable(path, error) from error


def _is_cut(image: Image.Image, stream: io.BytesIO) -> bool:
    """Whether a JPEG or PNG whose header has been read lacks its end marker."""
    if image.format == "JPEG":
        # Not in the header, where a preview has one, too; and not at the very end, where some cameras write more.
        return stream.getvalue().rfind(b"\xff\xd9") < stream.tell()
    return image.format == "PNG" and stream.getvalue().rfind(b"IEND") < 0
