"""Statistics of a sweep, whose jobs that differ only in seed and fold form a group, and the ranking of its jobs."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.config.sweep_job import DONE, FOLD, REPEATS, Setting
from engine.statistics import overlap, resampled_interval
from engine.sweep.table import Row

CONFIDENCE = 0.95
STATUSES = (*DONE, "running", "failed", "interrupted", "missing")


@dataclass
class Group:
    """Jobs that differ only in seed and fold, and the best values of their metric."""

    overrides: dict[str, Setting]
    metric: str
    mode: str
    rows: list[Row] = field(default_factory=list)

    @property
    def scores(self) -> list[float]:
        return [row.best for row in self.rows if row.best is not None]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n - 1); None for a single value."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def best(self) -> Row:
        choose = max if self.mode == "max" else min
        return choose(self.rows, key=lambda row: row.best or 0.0)

    def facts(self, name: str) -> list[str]:
        """The jobs' distinct values of `source`, `network` or `substitute_for`, without None."""
        return sorted({str(getattr(row, name)) for row in self.rows} - {"None"})

    @property
    def folds(self) -> int:
        """The number of folds that its jobs validate on, in turn; 1 if the data is not divided into folds."""
        return len({row.overrides.get(FOLD) for row in self.rows})

    @property
    def over(self) -> str:
        """What its mean is over: `seeds` or `folds`."""
        return "folds" if self.folds > 1 else "seeds"

    def by_repeat(self) -> dict[tuple[Setting, ...], float]:
        keys = (tuple(row.overrides.get(key) for key in REPEATS) for row in self.rows)
        return dict(zip(keys, self.scores, strict=True))

    def summary(self, reference: "Group") -> dict[str, Any]:
        """The group's entry in sweep.json; `difference` is to `reference`, over the same seeds and folds."""
        reason = None if self is reference else not_comparable(self, reference)
        is_compared = self is not reference and self.metric == reference.metric and reason is None
        return {
            "overrides": self.overrides,
            "jobs": [row.number for row in self.rows],
            "metric": self.metric,
            "n": len(self.rows),
            "mean": self.mean,
            "std": self.std,
            "folds": self.folds,
            "interval": None if too_few(self.scores) else interval(self.scores, self.folds),
            "difference": paired(self, reference) if is_compared else None,
            "not_compared": reason,
            "source": self.facts("source"),
            "substitute_for": self.facts("substitute_for"),
        }


def grouped(rows: Iterable[Row]) -> list[Group]:
    """Groups the completed jobs, best mean first; groups with a metric other than the first job's come last."""
    groups: dict[tuple[Any, ...], Group] = {}
    for row in rows:
        if row.status != DONE[0] or row.best is None or row.metric is None:
            continue
        overrides = {key: value for key, value in row.overrides.items() if key not in REPEATS}
        group = groups.setdefault((row.metric, *overrides.items()), Group(overrides, row.metric, row.mode or "min"))
        group.rows.append(row)
    metrics = list(dict.fromkeys(group.metric for group in groups.values()))
    return sorted(groups.values(), key=lambda g: (metrics.index(g.metric), -g.mean if g.mode == "max" else g.mean))


def interval(values: Sequence[float], folds: int = 1) -> tuple[float, float] | None:
    """Student's t confidence interval of the mean, mean ± t · s / √n with n - 1 degrees of freedom; None if n < 2.

    With values on several folds, whose training parts overlap, the wider one of `resampled_interval`.
    """
    return resampled_interval(values, overlap(folds), CONFIDENCE) if len(values) > 1 else None


def paired(group: Group, reference: Group) -> dict[str, Any] | None:
    """The mean of group - reference over their common seeds and folds, and its interval; None for fewer than two.

    Runs with the same seed share order, augmentation and splits, so their differences often vary less than the runs
    themselves, and this interval is more informative than the groups' separate intervals.
    """
    ours, theirs = group.by_repeat(), reference.by_repeat()
    differences = [ours[repeat] - theirs[repeat] for repeat in ours if repeat in theirs]
    if len(differences) < 2:
        return None
    between = None if too_few(differences) else interval(differences, min(group.folds, reference.folds))
    return {"mean": statistics.fmean(differences), "interval": between, "n": len(differences)}


def too_few(values: Sequence[float]) -> str | None:
    """Why an interval of these values would be misleading (`n = 2`, `all equal`); None if it would not be."""
    if len(values) < 3:
        return f"n = {len(values)}"
    return "all equal" if len(set(values)) == 1 else None


def not_comparable(group: Group, reference: Group) -> str | None:
    """Why the groups cannot be compared; None if they can."""
    if group.facts("source") != reference.facts("source"):
        return "other data"
    substituted = group.facts("substitute_for") != reference.facts("substitute_for")
    return "same network" if substituted and group.facts("network") == reference.facts("network") else None


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The completed jobs first, by metric and from best to worst; then the others, by status."""
    rows = sorted(rows, key=lambda row: row.number)
    metrics = list(dict.fromkeys(row.metric for row in rows))

    def order(row: Row) -> tuple[int, int, bool, float]:
        status = STATUSES.index(row.status) if row.status in STATUSES else len(STATUSES)
        best = row.best or 0.0
        return status, metrics.index(row.metric), row.best is None, -best if row.mode == "max" else best

    return sorted(rows, key=order)


def places(rows: Sequence[Row]) -> dict[int, int]:
    """The rank of each completed job by its number; equal results share a rank."""
    done = [row for row in rows if row.status == DONE[0] and row.best is not None]
    first: dict[tuple[str | None, float | None], int] = {}
    for place, row in enumerate(done, start=1):
        first.setdefault((row.metric, row.best), place)
    return {row.number: first[row.metric, row.best] for row in done}
