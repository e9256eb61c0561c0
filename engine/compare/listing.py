"""Lists runs in a table, and removes them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from engine.compare.document import Section
from engine.compare.runs import Run
from engine.compare.sides import STAND_IN, fact
from engine.errors import UserError
from engine.paths import CONF
from engine.run.find import runs_below
from engine.sweep.table import FILE
from engine.wording import figure, shown

KEY_FILE = "key.json"  # engine/features/feature_cache.py, which imports torch


def table(runs: Sequence[Run]) -> Section:
    """One row per run, the newest last, with columns for tags and notes if any run has some."""
    head = ["run", "when", "what", "best", "last", "data", "status", "seconds", "tags", "notes"]
    rows = [_row(run) for run in sorted(runs, key=lambda run: run.when)]
    kept = [number for number, name in enumerate(head) if name not in head[8:] or any(row[number] for row in rows)]
    head, rows = [head[number] for number in kept], [[row[number] for number in kept] for row in rows]
    reasons = [run.unreadable for run in runs if run.unreadable]
    return Section("", head, rows, [f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}", *reasons])


def short_table(runs: Sequence[Run]) -> Section:
    """The same table for 80 columns: two lines per run, the second with everything that is not a number."""
    rows = []
    for run in sorted(runs, key=lambda run: run.when):
        name, _, what, best, _, data, status, seconds, _, notes = _row(run)
        metric, _, value = best.rpartition(" ")
        more = [data, metric, *what.split(" ")[1:], *run.tags, notes]
        rows += [[name, value, status, seconds], ["  " + ", ".join(filter(None, more)), "", "", ""]]
    reasons = table(runs).text
    return Section("", ["run", "best", "status", "seconds"], rows, reasons)


def _row(run: Run) -> list[str]:
    if run.unreadable:
        return [run.name, run.when, "", "", "", "", run.status, "", "", ""]
    best, last = (run.result(f"{prefix}{run.metric}") for prefix in ("best/", ""))
    data = " ".join(str(text) for name in ("name", "source") if (text := fact(run, "data", name)))
    if wanted := run.fact("network", "substitute_for"):
        data += f", {shown(run.fact('network', 'name'))} instead of {shown(wanted)}"
    seconds = run.result("seconds")
    return [
        run.name,
        run.when,
        run.what,
        "" if best is None else f"{run.metric} {figure(best)}",
        figure(last),
        data.replace(STAND_IN, STAND_IN.upper()),
        run.status,
        "" if seconds is None else f"{seconds:,.1f}",
        ", ".join(run.tags),
        run.notes,
    ]


def doomed(runs: Sequence[Run]) -> list[Path]:
    """The directories to remove: those of the runs, or a sweep's if it contains no other runs.

    Raises:
        UserError: a process is training in one of them.
    """
    if busy := next((run for run in runs if run.status == "running"), None):
        raise UserError(f"{busy.name} is being trained: stop it before you delete it.")
    own = [run.directory for run in runs]
    sweeps = {directory.parent for directory in own if (directory.parent / FILE).is_file()}
    whole = {sweep for sweep in sweeps if set(runs_below(sweep)) <= set(own)}
    return sorted({directory.parent if directory.parent in whole else directory for directory in own})


def caches() -> list[Path]:
    """The cached features in the folder that conf/features/cached.yaml names."""
    folder = Path(OmegaConf.load(CONF / "features" / "cached.yaml").cache_dir)
    return sorted(file.parent for file in folder.glob(f"*/{KEY_FILE}") if not file.parent.is_symlink())


def size(directory: Path) -> int:
    """The total size of all files in a directory, in bytes."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def remove(directories: Sequence[Path], *, confirmed: bool, again: str) -> list[str]:
    """Removes directories if `confirmed`, and reports what was or would be removed; `again` is the command for it."""
    lines = [f"{'removed' if confirmed else 'would remove'} {path} ({megabytes(size(path))})" for path in directories]
    if confirmed:
        for directory in directories:
            shutil.rmtree(directory)
    elif lines:
        lines.append(f"Nothing was removed. To remove all of this: {again}")
    return lines or ["There is nothing to remove."]
