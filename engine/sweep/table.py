"""The table of a sweep, a row a job, in its two files: sweep.json and sweep.csv. Nothing here imports torch."""

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from typing_extensions import TypedDict

from engine.config.sweep_job import DONE, Setting, finite, standing, written
from engine.errors import UserError
from engine.files import replace_text
from engine.paths import is_place
from engine.run.outcome import outcome, read_json
from engine.wording import cell

FILE = "sweep.json"
MAX_BYTES = 1 << 28
Status = Literal["missing", "running", "completed", "pruned", "interrupted", "failed"]


@dataclass
class Row:
    """What is known of one job.

    status: missing (not started), running, or the status that its metrics.json gives: completed, pruned, interrupted,
        failed.
    overrides: the settings that the sweep gave to it, and not to all jobs alike.
    best, final: of the monitored metric `metric`, over the epochs and in the last one; None without a finite value.
    directory: relative to the sweep's.
    error: one line; the job's train.log has the rest.
    command: runs the job again, alone.
    source: where its data came from.
    network: the one that was trained, in place of `substitute_for` unless that is None.
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

    def take(self, sweep: Path) -> None:
        """Reads what came of the job from its directory."""
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
        self.epochs, self.seconds = found.get("epochs"), found.get("seconds")
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
    """A sweep's directory, the command line that started it and where that was given, its jobs, and their groups."""

    directory: Path
    arguments: list[str] = field(default_factory=list)
    cwd: str = ""
    jobs: dict[int, Row] = field(default_factory=dict)
    groups: list[dict[str, Any]] = field(default_factory=list)  # of the jobs that differ in the seed alone, at the end

    @property
    def keys(self) -> list[str]:
        """What is swept."""
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
    """The sweep as its file has it; FileNotFoundError where there is none."""
    content = read_ledger(directory)
    known = {f.name for f in fields(Row)}
    jobs = {row["number"]: Row(**{key: row[key] for key in row if key in known}) for row in content["jobs"]}
    return Sweep(directory, content["arguments"], content["cwd"], jobs, content["groups"])


def read_ledger(directory: Path) -> dict[str, Any]:
    """What sweep.json says. UserError where it is no sweep's; FileNotFoundError where there is none."""
    file = directory / FILE
    content: dict[str, Any] = read_json(file, MAX_BYTES, _File)
    for row in content["jobs"]:
        if is_place(row.get("directory") or ""):
            raise UserError(f"{file}: the directory of job {row['number']} leads out of the sweep's.")
    return content


@contextmanager
def changing(directory: Path) -> Iterator[Sweep]:
    """The sweep, to be changed by one process at a time; written on leaving."""
    with FileLock(directory / ".sweep.lock"):
        sweep = read_sweep(directory)
        yield sweep
        sweep.write()


def one_line(text: str, limit: int = 300) -> str:
    """The text in one line of at most `limit` characters."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1]}…"
