"""A sweep in the terminal: one line per finished job, and the table of all jobs at the end."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from engine.config.sweep_job import DONE, REPEATS, Setting, written
from engine.errors import UserError, printable
from engine.files import read_plain
from engine.paths import command, tensorboard, typed
from engine.run.config_file import has_features
from engine.run.outcome import outcome
from engine.run.trust.plain_yaml import load_plain_yaml
from engine.run.trust.stored_config import MAX_BYTES
from engine.statistics import fold_interval, wilson_interval
from engine.sweep.groups import CONFIDENCE, STATUSES, Group, grouped, interval, too_few
from engine.sweep.table import Row, Sweep
from engine.wording import markup, rounded

FACTS: dict[str, Callable[[Group], list[str]]] = {
    "data": lambda group: [name for name in group.facts("source") if name == "stand-in"],
    "substitute for": lambda group: group.facts("substitute_for"),
}
"""Columns shown if any group used stand-in data or a substitute network."""

MAX_ROWS = 40  # in the table; sweep.csv has all


def job_line(row: Row, ended: int, total: int) -> str:
    """`4/12  003_lr-0.01_seed-1  best val/acc 0.9673  1.6 s`."""
    figures = f"best {row.metric} {number(row.best)}" if row.status in DONE else f"{row.status}: {row.error}"
    status = "" if row.status in ("completed", "failed", "interrupted") else f"{row.status}, "
    seconds = f"  {row.seconds:.1f} s" if row.seconds is not None else ""
    return printable(f"{ended:>{len(str(total))}}/{total}  {row.directory}  {status}{figures}{seconds}")


def print_sweep(sweep: Sweep) -> None:
    """Prints the groups of jobs, best first, then the failures, then commands to run next."""
    console, groups = Console(soft_wrap=True, highlight=False), grouped(sweep.jobs.values())
    console.print(counted(sweep))
    if groups:
        # In a log file, rows are not wrapped.
        Console(width=None if console.is_terminal else 240).print(_table(sweep, groups))
    begun = sorted((row for row in sweep.unfinished if row.directory), key=lambda row: row.number)
    for row in begun[:MAX_ROWS]:
        settings = ", ".join(f"{key}={written(value)}" for key, value in row.overrides.items())
        log = typed(sweep.directory / str(row.directory) / "train.log")
        console.print(f"[red]{row.status}[/red]  #{row.number} {markup(f'{settings}: {row.error} ({log})')}")
    if len(begun) > MAX_ROWS:
        console.print(f"… and {len(begun) - MAX_ROWS} more, in sweep.csv")
    lines = {}
    if groups:  # the ledger stores it as typed in the project's folder
        lines["repeat the best"] = groups[0].best.command.replace("python train.py", command("train.py"), 1)
    if groups and len(sweep.jobs) > 1:
        lines |= judged(sweep.directory, groups, len(sweep.jobs))
    lines["look"] = f"{tensorboard(sweep.directory)}  and  {typed(sweep.directory / 'sweep.html')}"
    if sweep.unfinished:
        lines["resume"] = f"{command('train.py')} -m sweep.resume={typed(sweep.directory)}"
    for name, text in lines.items():
        console.print(f"[bold]{name:<15}[/bold]  {markup(text)}")


def judged(sweep: Path, groups: Sequence[Group], jobs: int) -> dict[str, str]:
    """The best job's score on a test split, which selected nothing, or else a reminder; and the command to judge it.

    For jobs on several folds, the best setting's result after the last epoch.
    """
    best = groups[0].best
    if best.directory is None or not str(best.metric).startswith("val"):
        return {}
    if groups[0].folds > 1:
        lines = {"last epoch": _cross_validated(sweep, groups[0])}
        of = len([group for group in groups if group.metric == groups[0].metric])
        return lines | ({"selected": f"the best of {of} settings, by the same validation examples"} if of > 1 else {})
    directory = sweep / best.directory
    known = outcome(directory)
    name = f"test/{str(best.metric).partition('/')[2]}"
    value, count = known.get(name), (known.get("counts") or {}).get("test")
    if isinstance(value, float):
        interval = ""
        if name == "test/acc" and type(count) is int and abs(value * count - round(value * count)) < 0.01:
            interval = f" {span(wilson_interval(round(value * count), count, CONFIDENCE))}"
        return {"not selected": f"{name} {number(value)}{interval} for the best job, on data not used for selection"}
    lines = {"selected": f"the best of {jobs} jobs, by the same validation examples that its {best.metric} is of"}
    with suppress(OSError, UserError, ValueError):
        config = load_plain_yaml(read_plain(directory / "config.yaml", MAX_BYTES))
        if has_features(config) and "num_folds" not in config["features"]:
            lines["judge the best"] = f"{command('evaluate.py')} run={typed(directory)} split=cross_validation"
    return lines


def _cross_validated(sweep: Path, group: Group) -> str:
    """`val/acc 0.962 [0.940, 0.985], mean over 10 folds`: after the last epoch, which nothing selected."""
    finals = [row.final for row in group.rows if row.final is not None]
    if len(finals) < len(group.rows):
        return f"{group.metric} is not finite in {len(group.rows) - len(finals)} of {len(group.rows)} {group.over}"
    between = _over_folds(finals, [_examples(sweep, row) for row in group.rows], group)
    mean = rounded(fmean(finals), (between[1] - between[0]) / 2 if between else None)
    return f"{group.metric} {mean} {span(between) or too_few(finals)}, mean over {len(finals)} {group.over}"


def _over_folds(values: Sequence[float], examples: Sequence[int], group: Group) -> tuple[float, float] | None:
    """The interval of results on folds with so many `examples` each; 0: unknown."""
    if group.metric == "val/acc" and all(examples):
        times = len(values) / group.folds
        right = sum(share * count for share, count in zip(values, examples, strict=True))
        low, high = fold_interval(values, group.folds, right / times, sum(examples) / times, CONFIDENCE)
        return max(0.0, low), min(1.0, high)
    return None if too_few(values) else interval(values, group.folds)


def _examples(sweep: Path, row: Row) -> int:
    count = (outcome(sweep / row.directory).get("counts") or {}).get("val") if row.directory else None
    return count if type(count) is int else 0


def counted(sweep: Sweep) -> str:
    """`6 jobs: 5 completed, 1 failed`."""
    counts: Counter[str] = Counter(row.status for row in sweep.jobs.values())
    listed = ", ".join(f"{counts[s]} {s}" for s in STATUSES if counts[s])
    return f"{len(sweep.jobs)} {'job' if len(sweep.jobs) == 1 else 'jobs'}: {listed}"


def _table(sweep: Sweep, groups: list[Group]) -> Table:
    repeated = any(len(group.rows) > 1 for group in groups)
    table = Table(box=SIMPLE_HEAD)
    keys = [key for key in sweep.keys if key not in REPEATS or not repeated]
    for key in keys:
        table.add_column(markup(key), overflow="fold")
    for name in headings(groups):
        table.add_column(markup(name), justify="right")
    for group in groups[:MAX_ROWS]:
        table.add_row(*map(markup, cells(group, keys, groups)))
    if len(groups) > MAX_ROWS:
        table.caption = f"{len(groups) - MAX_ROWS} more in sweep.csv"
    return table


def headings(groups: list[Group]) -> list[str]:
    """The table's headings after the settings."""
    metrics = " | ".join(dict.fromkeys(group.metric for group in groups))
    facts = [name for name, values in FACTS.items() if any(values(group) for group in groups)]
    single = [f"best {metrics}", *facts, "seconds", "job"]
    if all(len(group.rows) == 1 for group in groups):
        return single
    compared = ["− first [95 %]"] if len(groups) > 1 else []
    return [f"best {metrics}", "± std", "n", "[95 %]", *compared, *facts, "seconds", "jobs"]


def cells(group: Group, keys: list[str], groups: list[Group]) -> list[str]:
    """One row of the table, the settings of `keys` first."""
    numbers = [row.number for row in group.rows]
    seconds = sum(row.seconds or 0.0 for row in group.rows) / len(numbers)
    values: dict[str, Setting] = group.best.overrides
    row = [*(written(values.get(key, "")) for key in keys), rounded(group.mean, group.std)]
    if any(len(other.rows) > 1 for other in groups):
        summary = group.summary(groups[0])
        row += [
            "" if group.std is None else rounded(group.std, group.std),
            str(len(numbers)),
            span(summary["interval"]) or str(too_few(group.scores)),
        ]
        row += [_difference(summary)] if len(groups) > 1 else []
    row += [", ".join(values(group)) for values in FACTS.values() if any(values(other) for other in groups)]
    return [*row, f"{seconds:.1f}", ranges(numbers)]


def _difference(summary: dict[str, Any]) -> str:
    """`-0.099 [-0.1015, -0.09652]`, or why there is no difference or no interval."""
    difference = summary["difference"]
    if difference is None:
        return f"none: {summary['not_compared']}" if summary["not_compared"] else ""
    between = difference["interval"]
    if between is None:
        return f"{difference['mean']:+.4g}, {'n = 2' if difference['n'] < 3 else 'all equal'}"
    mean = rounded(difference["mean"], (between[1] - between[0]) / 2, "+")
    return f"{mean} {span(between)}{', within chance' if between[0] <= 0 <= between[1] else ''}"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def span(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    low, high = (rounded(bound, (interval[1] - interval[0]) / 2) for bound in interval)
    return f"[{low}, {high}]"


def ranges(numbers: list[int]) -> str:
    """`0-3, 7` for 0, 1, 2, 3, 7; with more than five spans, the first three and the last."""
    spans: list[list[int]] = []
    for value in sorted(numbers):
        if spans and value == spans[-1][1] + 1:
            spans[-1][1] = value
        else:
            spans.append([value, value])
    texts = [str(a) if a == b else f"{a}-{b}" for a, b in spans]
    return ", ".join(texts if len(texts) <= 5 else [*texts[:3], "…", texts[-1]])
