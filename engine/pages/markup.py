"""HTML for pages. Every text from outside passes through `escaped`."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from engine.errors import printable

STYLE = """
:root { --ink: #1f2328; --faint: #626a73; --line: #d5d9de; --paper: #fff; --card: #f5f6f8;
  --accent: #1f5fae; --warn-ink: #7a1010; --warn: #fdecea }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --faint: #9aa4af; --line: #3a424c; --paper: #14181d;
  --card: #1e242b; --accent: #7fb2f0; --warn-ink: #ffc9c4; --warn: #4a1a18 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 68rem;
  margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.6rem; margin: 0 0 0.3rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; padding-bottom: 0.2rem; border-bottom: 1px solid var(--line) }
p { margin: 0.4rem 0 } .faint { color: var(--faint) } a { color: var(--accent) }
.notice { background: var(--warn); color: var(--warn-ink); border-left: 4px solid; padding: 0.6rem 0.9rem;
  font-weight: 600; margin: 0 0 0.8rem }
.answer { font-size: 1.15rem; background: var(--card); border-left: 4px solid var(--accent); padding: 0.7rem 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 0.6rem 0; font-variant-numeric: tabular-nums }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere }
th { font-weight: 600; min-width: 3.5rem; overflow-wrap: normal }
td.number, th.number { text-align: right; white-space: nowrap }
table.keys td:first-child { white-space: nowrap } table.words td { overflow-wrap: break-word }
table.matrix td { text-align: center; border: 1px solid var(--line); min-width: 3.4rem; padding: 0.3rem;
  white-space: nowrap }
table.matrix thead th { text-align: center }
table.matrix small { display: block; opacity: 0.8 }
pre { background: var(--card); padding: 0.7rem 1rem; font-size: 0.88rem; margin: 0.4rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere }
code { font-size: 0.9em }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 0.9rem }
.photos figure { margin: 0; font-size: 0.85rem; overflow-wrap: anywhere } .photos img { width: 100%; display: block }
"""


Images = dict[str, bytes]
"""Files written beside the page, by name."""


class Numeric(str):
    """A right-aligned cell."""


class Link(NamedTuple):
    """A cell that links to a file, by its path relative to the page."""

    text: str
    path: str


class Cell(NamedTuple):
    """A matrix cell: its text, a smaller line below, and its shade in [0, 1]."""

    text: str
    below: str
    shade: float


def escaped(text: object) -> str:
    """Escapes a text for HTML, without control characters."""
    return html.escape(printable(text, kept="\n"))


def paragraph(text: object, kind: str = "") -> str:
    return f"<p{_class(kind)}>{escaped(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "", kind: str = "") -> str:
    """A table whose `Numeric` columns are right-aligned; empty without rows. For the `kind` "keys", the first column is
    not wrapped; for "words", no word is broken."""
    rows = list(rows)
    if not rows:
        return ""
    numeric = [any(isinstance(row[column], Numeric) for row in rows) for column in range(len(head))]
    top = "".join(_cell("th", name, is_number) for name, is_number in zip(head, numeric, strict=True))
    body = "".join(
        "<tr>" + "".join(_cell("td", cell, number) for cell, number in zip(row, numeric, strict=True)) + "</tr>\n"
        for row in rows
    )
    start = f"<thead><tr>{top}</tr></thead>\n" if any(head) else ""
    return f'<div class="wide"><table{_class(kind)}>{start}<tbody>{body}</tbody></table></div>\n{_said(caption)}'


def matrix(corner: str, names: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> str:
    """A square table of shaded cells with the same names for rows and columns."""
    top = "".join(f'<th scope="col">{escaped(name)}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>{"".join(map(_shaded, row))}</tr>\n'
        for name, row in zip(names, rows, strict=True)
    )
    return (
        '<div class="wide"><table class="matrix">'
        f"<thead><tr><th>{escaped(corner)}</th>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>\n{_said(caption)}"
    )


def picture(content: bytes, alt: str, size: tuple[int, int]) -> str:
    """A PNG or JPEG embedded in the page, shown at `size` (width, height) in CSS pixels."""
    data = base64.b64encode(content).decode("ascii")
    width, height = size
    kind = "jpeg" if content.startswith(b"\xff\xd8") else "png"
    return f'<img alt="{escaped(alt)}" width="{width}" height="{height}" src="data:image/{kind};base64,{data}">'


def photos(figures: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Images in a grid, each with its lines of text below."""
    parts = [
        f"<figure>{image}<figcaption>{'<br>'.join(map(escaped, lines))}</figcaption></figure>"
        for image, lines in figures
    ]
    return f'<div class="photos">{"".join(parts)}</div>\n' if parts else ""


def command_lines(lines: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{paragraph(what, 'faint')}<pre><code>{escaped(line)}</code></pre>\n" for what, line in lines)


def details(summary: str, body: str) -> str:
    """A block that unfolds on a click."""
    return f"<details><summary>{escaped(summary)}</summary>\n{body}</details>\n"


def section(title: str, *parts: str) -> str:
    """A section; nothing if all its parts are empty."""
    body = "".join(parts)
    return f"<section><h2>{escaped(title)}</h2>\n{body}</section>\n" if body else ""


def document(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )


def _said(caption: str) -> str:
    return f"{paragraph(caption, 'faint')}\n" if caption else ""


def _cell(tag: str, text: object, is_number: bool) -> str:
    shown = escaped(text)
    if isinstance(text, Link):  # a quoted path has no colon, so it cannot be a javascript: URL
        shown = f'<a href="{quote(text.path)}">{escaped(text.text)}</a>'
    return f"<{tag}{_class('number' if is_number else '')}>{shown}</{tag}>"


def _shaded(cell: Cell) -> str:
    below = f"<small>{escaped(cell.below)}</small>" if cell.below else ""
    ink = "; color: #fff" if cell.shade > 0.5 else ""
    return f'<td style="background: rgba(31, 95, 174, {cell.shade:.2f}){ink}">{escaped(cell.text)}{below}</td>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
