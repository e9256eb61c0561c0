"""Images that are drawn for the tests of engine/photos/images.py."""

import struct
import zlib

import numpy as np
from PIL import Image

LIMIT = 1_000_000  # pixels
HEIGHT, WIDTH = 40, 60


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


def flat_png(width: int, height: int) -> bytes:
    """A grey PNG of any size in a few bytes, which no encoder had to hold in memory."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
