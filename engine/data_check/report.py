"""Prints and saves the findings of a check of photos."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.data_check.check import DataCheck, Finding
from engine.data_check.labels import would_more_help
from engine.errors import DataError, UserError, printable
from engine.files import replace_text
from engine.photos.images import read_image
from engine.photos.layouts.class_folders import spelled_alike
from engine.results.contact_sheet import ContactSheet
from engine.wording import cell, markup

KINDS = {
    "identical with two labels": "remove one, or correct its label",
    "identical in two splits": "remove one: what was trained on is no test",
    "identical": "remove one",
    "look-alikes with two labels": "remove one, or correct its label",
    "look-alikes in two splits": "remove one: what was trained on is no test",
    "look-alikes": "remove one, if they are one photo in two sizes",
    "cannot be read": "each says what to do",
    "damaged": "some of their pixels are wrong: replace or remove them",
    "doubtful label": "look at them, the most doubtful first",
    "unlike all others": "look at them",
    "no photo by its name": "left out of training",
}
"""The kinds of findings, the worst first, each with advice."""

SHOWN, ON_SHEET = 3, 60


def report(found: DataCheck, folder: Path) -> None:
    """Prints a summary, and writes findings.csv and findings.png, the photos to look at, to `folder`."""
    console = Console()
    console.print(_counts(found))
    console.print(_files(found), highlight=False, markup=False)
    ordered = [finding for kind in KINDS for finding in found.of_kind(kind)]
    for line in (*(Text(printable(advice), "bold") for advice in spelled_alike(found.classes)), *_summary(found)):
        console.print(line, soft_wrap=True)
    if found.accuracy is not None:
        told = f"A linear classifier of frozen features gets {found.accuracy:.1%} right in cross-validation. "
        console.print(f"{told}{would_more_help(found.curve)}", highlight=False, markup=False)
    else:
        console.print("Labels were not checked: each class needs 5 photos for that.", highlight=False)
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "findings.csv", _rows(ordered))
    console.print(printable(folder / "findings.csv"), soft_wrap=True, highlight=False, markup=False)
    if _sheet(folder / "findings.png", found):
        console.print(printable(folder / "findings.png"), soft_wrap=True, highlight=False, markup=False)


def _counts(found: DataCheck) -> Table:
    table = Table(title=markup(found.name))
    table.add_column("class")
    for split in found.counts:
        table.add_column(split, justify="right")
    for name in found.classes:
        table.add_row(markup(name), *(f"{classes.get(name, 0):,}" for classes in found.counts.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(classes.values()):,}" for classes in found.counts.values()))
    totals = [sum(classes.get(name, 0) for classes in found.counts.values()) for name in found.classes]
    if max(totals) >= 3 * min(totals):
        table.caption = f"unbalanced, {max(totals) / min(totals):.0f} to 1: consider datamodule.balance=weights"
    return table


def _files(found: DataCheck) -> str:
    """Formats and sizes of the files in one line."""
    looks = list(found.looks.values())
    if not looks:
        return "No photo can be read."
    kinds = Counter(f"{look.format} ({look.mode})" for look in looks)
    sides = np.array([sorted((look.width, look.height)) for look in looks])
    low, middle, high = (int(value) for value in np.percentile(sides[:, 0], (0, 50, 100)))
    named = [f"{count:,} {kind}" for kind, count in kinds.most_common(5)]
    rest = len(looks) - sum(count for _, count in kinds.most_common(5))
    parts = [", ".join([*named, *([f"{rest:,} of other kinds"] if rest else [])])]
    parts.append(f"shorter side {low:,} to {high:,} pixels, median {middle:,}")
    if tagged := sum(look.has_profile for look in looks):
        parts.append(f"{tagged:,} with a color profile")
    return "; ".join(parts) + "."


def _summary(found: DataCheck) -> Iterator[Text]:
    """One line per kind with its advice, and one per example."""
    for kind, advice in KINDS.items():
        if findings := found.of_kind(kind):
            yield Text(f"{len(findings):,} × {kind}: {advice}", "bold")
            lines = [f"    {_named(finding, finding.file)}{_about(finding)}" for finding in findings[:SHOWN]]
            yield from (Text(printable(line)) for line in lines)


def _named(finding: Finding, file: Path) -> str:
    """The file's class folder and name; that of its split, too, where they may be the same in both splits."""
    return "/".join(file.parts[-3 if finding.kind.endswith("in two splits") else -2 :])


def _about(finding: Finding) -> str:
    if finding.kind == "doubtful label":
        return f": {finding.label}? rather {finding.detail}"
    if finding.kind == "damaged":
        return f": its decoder says {finding.detail}"
    return f" = {_named(finding, finding.other)}" if finding.other else ""


def _rows(findings: list[Finding]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["finding", "path", "label", "detail", "other"])
    for finding in findings:
        texts = [finding.kind, str(finding.file), finding.label, finding.detail, str(finding.other or "")]
        writer.writerow([cell(value) for value in texts])
    return text.getvalue().encode(errors="backslashreplace").decode()


def _sheet(path: Path, found: DataCheck) -> bool:
    """Writes the photos to look at, each with its finding below."""
    sheet = ContactSheet(path, every=1)
    shown = [finding for kind in KINDS for finding in found.of_kind(kind) if finding.file in found.looks][:ON_SHEET]
    for finding in shown:
        words = _about(finding)[2:] if finding.kind == "doubtful label" else finding.kind
        try:
            photo = read_image(finding.file, 1 << 40)
        except DataError:
            continue
        sheet.add(photo, words, finding.file.name)
    return sheet.save()


def output_folder(output: str | None, name: str) -> Path:
    """The folder to write to. Raises UserError if it is a file."""
    folder = Path(output) if output else Path("data_check", name)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output={folder}: is a file where a folder was expected.")
    return folder
