"""Damaged photos of which C libraries complain: nothing of it reaches the terminal, and one sentence says why."""

import io
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.errors import DataError
from engine.photos.images import read_image, read_thumbnail
from engine.photos.library_messages import libjpegs_messages
from tests.conftest import ROOT

COMPRESSION, PLANES, ROWS = 259, 284, 278


def saved(format: str, **settings: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8).repeat(2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **settings)
    return file.getvalue()


def tagged(tag: int, value: tuple[int, int, int]) -> bytes:
    """A TIFF with another type, count and value of a tag."""
    content = bytearray(saved("TIFF", compression="tiff_lzw"))
    (offset,) = struct.unpack_from("<I", content, 4)
    for entry in range(struct.unpack_from("<H", content, offset)[0]):
        place = offset + 2 + 12 * entry
        if struct.unpack_from("<H", content, place)[0] == tag:
            struct.pack_into("<HII", content, place + 2, *value)
    return bytes(content)


def damaged(content: bytes, by: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + by + content[middle + len(by) :]


JPEG = saved("JPEG")
READ = {
    "bytes before the end": JPEG[:-2] + b"\0\1\2\3abc" + JPEG[-2:],
    "another version of JFIF": JPEG.replace(b"JFIF\0\1\1", b"JFIF\0\5\5"),
    "an end in the middle": JPEG[: len(JPEG) // 2] + b"\xff\xd9",
    "markers in the middle": damaged(JPEG, b"\xff\xd0" * 10),
}
REFUSED = {
    "noise in LZW": (damaged(saved("TIFF", compression="tiff_lzw"), b"\xff" * 60), "compressed by lzw, is damaged"),
    "noise in Deflate": (damaged(saved("TIFF", compression="tiff_adobe_deflate"), b"U" * 40), "deflate, is damaged"),
    "a compression that is not there": (tagged(COMPRESSION, (3, 1, 50001)), "compressed by webp, is damaged"),
    "a tag of another type": (tagged(PLANES, (99, 1, 1)), "compressed by lzw, is damaged"),
    "other rows in a strip": (tagged(ROWS, (3, 1, 7)), "compressed by lzw, is damaged"),
}


@pytest.mark.parametrize("kind", READ)
def test_what_is_read_is_read_in_silence(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photo.jpg").write_bytes(READ[kind])
    assert read_image(tmp_path / "photo.jpg", 10**6).shape == (3, 160, 100)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_refused_in_one_sentence(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, says = REFUSED[kind]
    file = tmp_path / "photo.tif"
    file.write_bytes(content)
    for read in (read_image, lambda path, pixels: read_thumbnail(path, 32, pixels)):
        with pytest.raises(DataError, match=f"photo.tif cannot be decoded as an image .*{says}"):
            read(file, 10**6)
    assert capfd.readouterr() == ("", "")


def test_several_threads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What others write meanwhile is not lost."""
    (tmp_path / "photo.jpg").write_bytes(READ["bytes before the end"])
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(read_image, tmp_path / "photo.jpg", 10**6) for _ in range(200)]
        for number in range(50):
            os.write(2, f"line {number}\n".encode())
        assert all(task.result().shape == (3, 160, 100) for task in done)
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f"line {number}" for number in range(50))


def test_without_stderr() -> None:
    code = "import os; os.close(2)\nfrom engine.photos.library_messages import libjpegs_messages as quiet\n"
    code += "with quiet():\n    print('read')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "read\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_a_process_that_is_forked_meanwhile_has_its_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with libjpegs_messages():
        child = os.fork()
        if not child:
            os.write(2, b"of the child\n")
            os._exit(0)
        os.waitpid(child, 0)
    assert capfd.readouterr().err == "of the child\n"
