"""Shared by all plots on pages: panels saved as PNG files, with all text shown literally."""

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import printable
from engine.pages.lettering import lettered

DPI = 110
MAX_LETTERS = 28
COLORS = {"train": "#8a5a00", "val": "#1f5fae", "test": "#1a7f37"}


class Drawing(NamedTuple):
    """A PNG and its size in CSS pixels (width, height)."""

    png: bytes
    size: tuple[int, int]


def written_as(text: str) -> tuple[str, str | None]:
    """An untrusted text, shortened in its middle, and the file of a font that has all of its characters.

    None instead of a file means matplotlib's own font, which covers Pillow's default font.
    """
    text = printable(text)
    text = text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS // 2]}…{text[-(MAX_LETTERS // 2 - 1) :]}"
    text, font = lettered(text, 10)
    path = getattr(font, "path", None)
    return text, path if isinstance(path, str) else None


def write_text(artist: Any, text: str, size: int) -> None:
    """Sets a text literally: matplotlib would read dollar signs as a formula."""
    shown, font = written_as(text)
    artist.set(text=shown, parse_math=False, **({"font": Path(font)} if font else {}))
    artist.set_fontsize(size)


def panels_of(count: int, columns: int, panel: tuple[float, float], left: float = 0.6, bottom: float = 0.5) -> Any:
    """A figure of `count` panels and their axes; sizes in inches, with margins to the left of and below each panel."""
    from matplotlib.figure import Figure  # only here: it takes a quarter of a second, at the end of a run

    (width, height), rows, right, top = panel, math.ceil(count / columns), 0.15, 0.3
    figure = Figure(figsize=(columns * width, rows * height))
    # Matplotlib's own layouts find these margins by drawing everything twice.
    figure.subplots_adjust(
        left=left / (columns * width),
        right=1 - right / (columns * width),
        bottom=bottom / (rows * height),
        top=1 - top / (rows * height),
        wspace=(left + right) / (width - left - right),
        hspace=(bottom + top) / (height - bottom - top),
    )
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in panels:
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def drawn(figure: Any) -> Drawing:
    file = io.BytesIO()
    width, height = figure.get_size_inches()
    figure.savefig(file, format="png", dpi=1.5 * DPI if width < 12 else DPI, pil_kwargs={"compress_level": 2})
    return Drawing(file.getvalue(), (round(width * DPI * 0.8), round(height * DPI * 0.8)))


def spans_decades(values: Iterable[float], times: float = 100) -> bool:
    """Whether all values are positive and the largest finite one is more than `times` the smallest."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > times * min(finite)
