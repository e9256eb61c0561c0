"""A comparison or a list of runs, in the terminal and as a page. All texts are untrusted."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from engine.errors import UserError, printable
from engine.files import replace_text
from engine.wording import markup

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH = 200  # characters, if the output is not a terminal

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } h1, td { overflow-wrap: anywhere }
.answer { font-size: 1.15rem; border-left: 4px solid #1f5fae; padding: 0.5rem 1rem; margin: 0.5rem 0 }
.notice { border-left: 4px solid #b00020; padding: 0.3rem 1rem } .wide { overflow-x: auto } .faint { opacity: 0.75 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #8886; text-align: left; vertical-align: top }
img { max-width: 100%; height: auto; background: #fff }
"""


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
    for section in document.sections:
        if section.title:
            console.print(f"\n[bold]{markup(section.title)}[/bold]")
        if section.rows:
            table = Table(box=SIMPLE_HEAD, pad_edge=False)
            for name in section.head:
                table.add_column(markup(name), overflow="fold")
            for row in section.rows:
                table.add_row(*map(markup, row))
            console.print(table)
        for line in section.text:
            console.print(markup(line))
    for line in document.notices:
        console.print(f"[red]{markup(line)}[/red]")
    for line in document.answers:
        console.print(f"\n[bold]{markup(line)}[/bold]")


def write_page(document: Document, path: Path) -> None:
    """Writes a self-contained HTML file. Raises UserError for another suffix."""
    title = escaped(document.title)
    parts = [
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>",
        *(f'<p class="answer">{escaped(line)}</p>' for line in document.answers),
        *(f'<p class="notice">{escaped(line)}</p>' for line in document.notices),
        *map(_section, document.sections),
    ]
    if document.sheet is not None:
        data = io.BytesIO()
        document.sheet.save(data, "JPEG", quality=85)
        width, height = document.sheet.size
        source = base64.b64encode(data.getvalue()).decode("ascii")
        parts.append(
            f'<h2>Photos whose predicted class differs</h2>\n<p class="faint">{escaped(document.sheet_text)}</p>\n'
            f'<img alt="photos with the two predictions under each" width="{width}" height="{height}" '
            f'src="data:image/jpeg;base64,{source}">'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "\n".join([*parts, "</body>\n</html>\n"]))


def require_suffix(path: str | None, suffixes: Sequence[str], key: str) -> Path | None:
    """The path of a file to write. Raises UserError, before any work, if its suffix is not one of `suffixes`."""
    if path is not None and Path(path).suffix.lower() not in suffixes:
        raise UserError(f"{key}={path}: give a file that ends in {' or '.join(suffixes)}.")
    return None if path is None else Path(path)


def _section(section: Section) -> str:
    table = ""
    if section.rows:
        head = "".join(f"<th>{escaped(name)}</th>" for name in section.head)
        body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>\n" for row in section.rows)
        table = f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'
    text = "".join(f'<p class="faint">{escaped(line)}</p>\n' for line in section.text)
    return f"<section>{f'<h2>{escaped(section.title)}</h2>' if section.title else ''}\n{table}{text}</section>"


def number(value: float, sign: str = "") -> str:
    """A number with four significant digits; with the sign "+", positive numbers get one, too."""
    return format(value, f"{sign}.4g")


def escaped(text: object) -> str:
    return html.escape(printable(text))
