"""Text in images, in any script."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

OF_THE_SYSTEM = (
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-microhei.ttc", "wqy-zenhei.ttc"),
    *("DroidSansFallbackFull.ttf", "Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc"),
    *("malgun.ttf", "Nirmala.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf", "segoeui.ttf"),
)
"""Fonts with many characters on Linux, macOS and Windows; Pillow knows where to look for them."""

NONE = "\U0010fffe"
"""A character that no font has."""


def lettered(text: str, size: int) -> tuple[str, Font]:
    """The text, and a font of `size` points that has its characters: Pillow's default, DejaVu Sans, or a system font.

    Characters that no font has are written as their Unicode code points, so no two names look the same.
    """
    fonts = [font for name in (None, *_fonts()) if (font := _font(name, size)) is not None]
    for font in fonts:
        if all(_has(font, character) for character in text):
            return text, font
    best = max(fonts, key=lambda font: sum(_has(font, character) for character in text))
    return "".join(c if _has(best, c) else f"<{ord(c):04X}>" for c in text), best


@cache
def _fonts() -> tuple[str, ...]:
    """The fonts to try. DejaVu Sans comes with matplotlib, which need not be imported for it."""
    spec = find_spec("matplotlib")
    folders = spec.submodule_search_locations or [] if spec else []
    found = [str(Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")) for folder in folders]
    return (*found, *OF_THE_SYSTEM)


@cache
def _font(name: str | None, size: int) -> Font | None:
    if name is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@cache
def _has(font: Font, character: str) -> bool:
    """Whether a font has a glyph of its own for the character."""
    if character.isascii() or character.isspace():
        return True
    return bytes(font.getmask(character)) != bytes(font.getmask(NONE))


def fitted(text: str, size: int, width: int) -> tuple[str, Font]:
    """Like `lettered`, with an ellipsis in the middle of a text that is wider than `width` pixels."""
    whole, font = lettered(text, size)
    if font.getlength(whole) <= width:
        return whole, font
    for kept in range(len(whole) - 1, 1, -1):
        short = f"{whole[: (kept + 1) // 2]}…{whole[len(whole) - kept // 2 :]}"
        if font.getlength(short) <= width:
            break
    return lettered(short, size)
