"""Runs `python compare.py` with the parsed arguments."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.compare.document import Document, require_suffix, show, write_page
from engine.compare.listing import caches, doomed, remove, short_table, table
from engine.compare.runs import Run, chosen, directories_of, read_leniently, read_run
from engine.compare.sides import sides_of
from engine.errors import UserError, printable
from engine.paths import command
from engine.process.activity import activity, watched
from engine.process.startup import quick_imports
from engine.run.find import LOGS

CHOICES = {"checkpoint": ("best", "last"), "split": (None, "val", "test"), "delete": (None, "runs", "cache")}
WIDE = 140  # columns that the full table of runs needs
PICTURES = (".png", ".jpg", ".jpeg")


def run_compare(names: Sequence[str], filters: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Prints a table of runs or, for two or more names, a comparison; conf/compare.yaml explains the settings."""
    page = require_suffix(settings["page"], (".html",), "page")
    sheet = require_suffix(settings["contact_sheet"], PICTURES, "contact_sheet")
    for key, allowed in CHOICES.items():
        if settings[key] not in allowed:
            raise UserError(f"{key}={settings[key]}: choose from {', '.join(filter(None, allowed))}.")
    values = dict(text.split("=", 1) for text in filters)
    if settings["delete"]:
        _delete(names, values, settings)
    elif len(names) < 2:
        if sheet is not None:
            raise UserError("contact_sheet shows the photos on which two networks differ: name two runs.")
        runs = _listed(names, values)
        _show_table(runs)
        if page is not None:
            document = Document(f"Runs in {names[0] if names else f'{LOGS}/'}", sections=[table(runs)])
            _write(document, page)
    else:
        _give(_compare(names, values, settings), page, sheet)


def _give(document: Document, page: Path | None, sheet: Path | None) -> None:
    show(document)
    if page is not None:
        _write(document, page)
    if sheet is not None and document.sheet is None:
        _say(["No contact sheet: no predicted class differs, or the photos could not be compared."])
    elif sheet is not None and document.sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        document.sheet.save(sheet)
        _say([f"contact sheet: {sheet}"])


def _write(document: Document, page: Path) -> None:
    write_page(document, page)
    _say([f"page: {page}"])


def _show_table(runs: Sequence[Run]) -> None:
    console = Console()
    is_narrow = console.is_terminal and console.width < WIDE
    show(Document("", sections=[short_table(runs) if is_narrow else table(runs)]))


def _delete(names: Sequence[str], filters: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    given = shlex.join([*(text for text in sys.argv[1:] if text != "yes=false"), "yes=true"])
    again = f"{command('compare.py')} {given}"
    if settings["delete"] == "cache":
        if names or filters:
            raise UserError("delete=cache removes all cached features: leave out the runs and other settings.")
        directories = caches()
    else:
        runs = _listed(names, filters)
        _show_table(runs)
        directories = doomed(runs)
    _say(remove(directories, confirmed=settings["yes"], again=again))


def _listed(names: Sequence[str], filters: Mapping[str, str]) -> list[Run]:
    if not names and not LOGS.is_dir():
        raise UserError(f"There is no {LOGS.absolute()}: name a run, a sweep or a folder of runs.")
    directories = dict.fromkeys(place for name in names or [str(LOGS)] for place in directories_of(name))
    return chosen(list(read_leniently(watched(directories, "reading", "runs"))), filters)


def _compare(names: Sequence[str], filters: Mapping[str, str], settings: Mapping[str, Any]) -> Document:
    named = [[read_run(*place, given=name) for place in directories_of(name)] for name in names]
    kept = [chosen(runs, filters) for runs in named]
    sides, remarks = sides_of([runs for runs in kept if runs])
    with quick_imports():  # only here: it takes seconds
        from engine.compare.comparison import compare
        from engine.compare.pairs import Plan
        from engine.run.failure import for_the_user

    with_photos = bool(settings["contact_sheet"] or settings["page"])
    with for_the_user(), activity("comparing"):
        document = compare(sides, Plan(settings["checkpoint"], settings["split"], with_photos))
    document.notices = [*document.notices, *remarks]
    return document


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        print(printable(line))
