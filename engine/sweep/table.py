"""The table of a sweep, with one row per job, in sweep.json and sweep.csv. Nothing here imports torch."""

import csv
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from typing_extensions import TypedDict

from engine.config.sweep_job import DONE, MAX_LEDGER_BYTES, Setting, finite, standing, written
from engine.errors import UserError
from engine.files import open_plain, read_plain, replace_text
from engine.paths import is_place
from engine.run.outcome import checked, outcome, read_json
from engine.wording import cell

FILE = "sweep.json"
NOTES = ".sweep.rows"
"""Rows newer than those of sweep.json, one per line: rewriting the table for each row takes longer than short jobs."""

FEW = 20
"""The largest number of jobs for which the table is written immediately."""

SECONDS = 5.0
"""With more jobs, sweep.json and sweep.csv are written at most this long after the notes."""

_waiting: set[Path] = set()
"""Sweeps whose files this process will write shortly."""
Status = Literal["missing", "running", "completed", "pruned", "interrupted", "failed"]


@dataclass
class Row:
    """The state and results of one job.

    status: missing (not started), running, or the status in its metrics.json: completed, pruned, interrupted, failed.
    overrides: the swept settings of this job.
    best, final: the best and the last value of the monitored metric `metric`; None if not finite.
    directory: relative to the sweep's.
    error: one line; the job's train.log has the details.
    command: repeats this job alone.
    source: the source of its data.
    network: the trained network, which replaced `substitute_for` unless that is None.
    """

    number: int
    overrides: dict[str, Setting]
    command: str
    status: Status = "missing"
    metric: str | None = None
    mode: Literal["min", "max"] | None = None
    best: float | None = None
    final: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    directory: str | None = None
    error: str | None = None
    source: str | None = None
    network: str | None = None
    substitute_for: str | None = None

    def __post_init__(self) -> None:
        """Treats numbers that are not finite as missing: a ledger may come from a stranger."""
        for name in ("best", "final", "seconds"):
            if isinstance(getattr(self, name), str):
                setattr(self, name, None)

    def take(self, sweep: Path) -> None:
        """Updates the row from the job's directory."""
        if self.directory is None:
            return
        directory = standing(sweep / self.directory)
        try:
            found = outcome(directory)
        except UserError as error:
            found = {"status": "failed", "error": str(error)}
        self.directory = os.path.relpath(directory, sweep)
        self.status = found.get("status", self.status)
        self.best, self.final = finite(found.get(f"best/{self.metric}")), finite(found.get(str(self.metric)))
        epochs, seconds = found.get("epochs"), found.get("seconds")
        self.epochs = epochs if isinstance(epochs, int) else None
        self.seconds = seconds if finite(seconds) is not None else None
        data, network = found.get("data") or {}, found.get("network") or {}
        self.source = data.get("source")
        self.network, self.substitute_for = network.get("name"), network.get("substitute_for")
        self.error = one_line(found["error"]) if "error" in found else None


class _File(TypedDict):
    """The content of sweep.json."""

    arguments: list[str]
    cwd: str
    jobs: list[Row]
    groups: list[dict[str, Any]]


@dataclass
class Sweep:
    """A sweep: its directory, the command line and working directory it was started with, its jobs and groups."""

    directory: Path
    arguments: list[str] = field(default_factory=list)
    cwd: str = ""
    jobs: dict[int, Row] = field(default_factory=dict)
    groups: list[dict[str, Any]] = field(default_factory=list)  # set at the end of the sweep

    @property
    def keys(self) -> list[str]:
        """The swept keys."""
        return list(dict.fromkeys(key for row in self.jobs.values() for key in row.overrides))

    @property
    def unfinished(self) -> list[Row]:
        return [row for row in self.jobs.values() if row.status not in DONE]

    def write(self) -> None:
        rows = [self.jobs[number] for number in sorted(self.jobs)]
        head = {"arguments": self.arguments, "cwd": self.cwd, "swept": self.keys}
        content = head | {"jobs": [asdict(row) for row in rows], "groups": self.groups}
        replace_text(self.directory / FILE, json.dumps(content, indent=1) + "\n")
        replace_text(self.directory / "sweep.csv", self._csv(rows))

    def _csv(self, rows: list[Row]) -> str:
        own = [f.name for f in fields(Row) if f.name not in ("number", "status", "overrides", "mode", "command")]
        text = io.StringIO()
        table = csv.DictWriter(text, ["number", "status", *self.keys, *own, "command"], extrasaction="ignore")
        table.writerow({key: cell(key) for key in table.fieldnames})
        for row in rows:
            values = {key: written(value) for key, value in row.overrides.items()} | asdict(row)
            table.writerow({key: cell(value) for key, value in values.items()})
        return text.getvalue()


def read_sweep(directory: Path) -> Sweep:
    """Reads the sweep from its file. Raises FileNotFoundError if there is none."""
    content = read_ledger(directory)
    known = {f.name for f in fields(Row)}
    jobs = {row["number"]: Row(**{key: row[key] for key in row if key in known}) for row in content["jobs"]}
    return Sweep(directory, content["arguments"], content["cwd"], jobs, content["groups"])


def read_ledger(directory: Path) -> dict[str, Any]:
    """The content of sweep.json. Raises UserError if it is invalid, FileNotFoundError if it does not exist."""
    file = directory / FILE
    content: dict[str, Any] = read_json(file, MAX_LEDGER_BYTES, _File)
    newer = checked(list[Row], _notes(directory), directory / NOTES)
    content["jobs"] = list(({row["number"]: row for row in (*content["jobs"], *newer)}).values())
    for row in content["jobs"]:
        if is_place(row.get("directory") or ""):
            raise UserError(f"{file}: the directory of job {row['number']} is outside the sweep's.")
    return content


@contextmanager
def changing(directory: Path) -> Iterator[Sweep]:
    """Yields the sweep, locked against other processes, and writes it on exit."""
    with FileLock(directory / ".sweep.lock"):
        sweep = read_sweep(directory)
        yield sweep
        sweep.write()
        (directory / NOTES).unlink(missing_ok=True)


def note(directory: Path, row: Row) -> list[str]:
    """Records a row and returns all rows' statuses. With more than FEW jobs, the files are written SECONDS later."""
    with FileLock(directory / ".sweep.lock"):
        with open_plain(directory / NOTES, "ab") as file:
            file.write(f"\n{json.dumps(asdict(row))}\n".encode())  # the previous line may have been cut short
        content = json.loads(read_plain(directory / FILE, MAX_LEDGER_BYTES))
        rows = {row["number"]: row["status"] for row in (*content["jobs"], *_notes(directory))}
    if len(rows) <= FEW:
        _write_notes(directory)
    elif directory not in _waiting:
        _waiting.add(directory)
        # A timer, as the next note may be hours away. If the process is killed first, the notes are read instead.
        timer = threading.Timer(SECONDS, _write_notes, [directory.absolute(), directory])
        timer.daemon = True
        timer.start()
    return list(rows.values())


def _write_notes(directory: Path, waiting: Path | None = None) -> None:
    """Brings the files up to date if there are notes."""
    if waiting is not None:
        _waiting.discard(waiting)
    with suppress(FileNotFoundError):  # the sweep may have been moved after its end
        if (directory / NOTES).is_file():
            with changing(directory):
                pass


def _notes(directory: Path) -> list[Any]:
    """The rows in NOTES, without any that a kill cut short."""
    try:
        lines = read_plain(directory / NOTES, MAX_LEDGER_BYTES).splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    return rows


def one_line(text: str, limit: int = 300) -> str:
    """The text on one line of at most `limit` characters."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1]}…"
