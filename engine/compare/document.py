"""A comparison or a list of runs, in the terminal and as a page. All texts are untrusted."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from engine.errors import UserError
from engine.files import replace_text
from engine.pages.markup import Numeric, escaped, paragraph, picture, section, table
from engine.pages.markup import document as page
from engine.wording import NUMBER, markup

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH = 200  # characters, if the output is not a terminal


@dataclass
class Section:
    """A titled table with lines of text below it; without rows, only the text is shown."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text: Sequence[str] = ()


@dataclass
class Document:
    """A title, the answer, important notices, and sections."""

    title: str
    answers: Sequence[str] = ()
    notices: Sequence[str] = ()
    sections: list[Section] = field(default_factory=list)
    sheet: "Image | None" = None
    sheet_text: str = ""


def show(document: Document) -> None:
    """Prints the document with the answer last, where one looks in a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for part in document.sections:
        if part.title:
            console.print(f"\n[bold]{markup(part.title)}[/bold]")
        if part.rows:
            rows = Table(box=SIMPLE_HEAD, pad_edge=False)
            for name in part.head:
                rows.add_column(markup(name), overflow="fold")
            for row in part.rows:
                rows.add_row(*map(markup, row))
            console.print(rows)
        for line in part.text:
            console.print(markup(line))
    for line in document.notices:
        console.print(f"[red]{markup(line)}[/red]")
    for line in document.answers:
        console.print(f"\n[bold]{markup(line)}[/bold]")


def write_page(document: Document, path: Path) -> None:
    """Writes a self-contained HTML file."""
    parts = [
        f"<h1>{escaped(document.title)}</h1>\n",
        *(paragraph(line, "answer") for line in document.answers),
        *(paragraph(line, "notice") for line in document.notices),
        *map(_section, document.sections),
        _sheet(document),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, page(document.title, "".join(parts)))


def require_suffix(path: str | None, suffixes: Sequence[str], key: str) -> Path | None:
    """The path of a file to write. Raises UserError, before any work, if its suffix is not one of `suffixes`."""
    if path is not None and Path(path).suffix.lower() not in suffixes:
        raise UserError(f"{key}={path}: give a file that ends in {' or '.join(suffixes)}.")
    return None if path is None else Path(path)


def _section(part: Section) -> str:
    rows = [[Numeric(cell) if NUMBER.fullmatch(cell) else cell for cell in row] for row in part.rows]
    body = table(part.head, rows, kind="words") + "".join(paragraph(line, "faint") for line in part.text)
    return section(part.title, body) if part.title else body


def _sheet(document: Document) -> str:
    if document.sheet is None:
        return ""
    data = io.BytesIO()
    document.sheet.save(data, "JPEG", quality=85)
    photos = picture(data.getvalue(), "photos with the two predictions under each", document.sheet.size)
    return section("Photos whose predicted class differs", paragraph(document.sheet_text, "faint"), photos)
