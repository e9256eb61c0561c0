"""Which files count as photos, how they are opened, and what to do with those that cannot be read."""

import io
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, JpegImagePlugin, UnidentifiedImageError, features
from torchvision.datasets.folder import IMG_EXTENSIONS

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP", *(["AVIF"] if features.check("avif") else []))
"""What else Pillow can open stays shut: of those formats, EPS would start Ghostscript on a stranger's program."""

READS_HEIC = find_spec("pillow_heif") is not None

SUFFIXES = (
    *IMG_EXTENSIONS,
    *(".jfif", ".jif", ".jpe", ".mpo", ".apng", ".pnm", ".pbm", ".dib"),
    *([".avif", ".avifs"] if "AVIF" in FORMATS else []),
    *([".heic", ".heif", ".hif"] if READS_HEIC else []),
)
"""By which files count as photos, in any case: torchvision's, and all other names of FORMATS but GIF's.

As in torchvision's ImageFolder, a GIF is no photo in a folder: the official ants have one, a placeholder.
"""

INSTALL_HEIC = "pip install -e '.[heic]', or convert it to JPEG"

OTHERS = {
    (b"\xff\x0a", b"\0\0\0\x0cJXL "): "a JPEG XL image: convert it to JPEG or PNG",
    (b"8BPS",): "a Photoshop file: export it as JPEG or PNG",
    (b"<svg", b"<?xml"): "an SVG drawing: export it as PNG",
    (b"<!doc", b"<html"): "a web page and no image: download the image itself, or remove it",
    (b"version https://git-lfs",): "a Git LFS pointer: fetch the photo with `git lfs pull`",
    (b"%pdf",): "a PDF: export its pages as PNG",
    (b"rar!", b"pk\3\4"): "an archive: unpack it",
}
"""First bytes, in small letters, and what such a file is called."""

BYTES_OF_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

PHOTOS_ELSEWHERE = {
    **dict.fromkeys((".heic", ".heif", ".hif"), INSTALL_HEIC),
    **dict.fromkeys((".jxl", ".psd", ".svg", ".jp2", ".j2k", ".tga", ".pcx", ".ico"), "convert them to JPEG or PNG"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"), "develop them to JPEG or PNG"),
    **dict.fromkeys((".gif", ".avif", ".avifs"), "convert them to PNG"),
}
"""Suffixes of pictures that do not count as photos, and what makes photos of them."""


class OtherKindError(Exception):
    """The file is of a kind that cannot be read; the message names the kind and what to do."""


def counts_as_photo(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def left_out(paths: Iterable[Path]) -> str:
    """Counts skipped files by suffix, pictures first, with what to do: `20 .heic (convert them), 3 .txt`."""
    counts = Counter(path.suffix.lower() or path.name for path in paths)
    ordered = sorted(counts, key=lambda suffix: (suffix not in PHOTOS_ELSEWHERE, -counts[suffix], suffix))
    shown = [
        f"{counts[suffix]:,} {suffix}" + (f" ({PHOTOS_ELSEWHERE[suffix]})" if suffix in PHOTOS_ELSEWHERE else "")
        for suffix in ordered[:8]
    ]
    rest = sum(counts[suffix] for suffix in ordered[8:])
    return ", ".join([*shown, *([f"{rest:,} others"] if rest else [])])


def open_image(stream: io.BytesIO) -> Image.Image:
    """Like Image.open, but without its limit on pixels, which is one setting for all threads of a process.

    If a JPEG has further pictures behind the first one, as phones write them, the first is opened. Raises
    OtherKindError or UnidentifiedImageError for a file that is none of FORMATS.
    """
    prefix = stream.getvalue()[:32]
    names, begun = list(FORMATS), list[str]()
    if prefix[4:8] == b"ftyp" and prefix[8:12] in BYTES_OF_HEIC and b"avif" not in prefix:
        if not READS_HEIC:
            raise OtherKindError(f"a HEIC photo: {INSTALL_HEIC}")
        import_module("pillow_heif").register_heif_opener(thumbnails=False)
        names.insert(0, "HEIF")
    for name in names:
        if name not in Image.OPEN:
            Image.init()  # it registers the formats
        factory, accept = Image.OPEN[name]
        if name == "JPEG":
            factory = JpegImagePlugin.JpegImageFile  # Pillow's own may make another format of it, MPO
        if accept is None or accept(prefix[:16]) is True:
            stream.seek(0)
            try:
                return factory(stream, "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # so its plug-ins say: not mine
                begun.append(name)
    raise _other_kind(stream.getvalue()[:64].lstrip().lower(), begun)


def _other_kind(start: bytes, begun: Sequence[str]) -> OtherKindError | UnidentifiedImageError:
    """What is wrong with a file that starts so, and like an image of the formats `begun`."""
    for beginnings, told in OTHERS.items():
        if start.startswith(tuple(beginning.lower() for beginning in beginnings)):
            return OtherKindError(told)
    if begun:
        return OtherKindError(f"a damaged {begun[0].replace('HEIF', 'HEIC')} file: repair it, or remove it")
    return UnidentifiedImageError()
