"""Plots for a page about many runs: a metric against settings, the runs' curves, and the expected best of n runs."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from engine.config.sweep_job import Setting, written
from engine.pages.figure import COLORS, Drawing, drawn, panels_of, spans_decades, write_text, written_as

MAX_TICKS, MAX_NAMED = 8, 24  # at most this many values get a tick, and categories a name
RATES = ("lr", "learning_rate", "weight_decay", "max_lr", "base_lr")
FAINT, MARK = "#c3c8ce", "#7a1010"
PALETTE = ("#1f5fae", "#c2560c", "#1a7f37", "#8246b4", "#0f8a99", "#8a5a00", "#c2409a", "#555c64")


class Scale(NamedTuple):
    """An axis: the positions of its values, `log` or `linear`, and ticks with labels (empty: matplotlib's own)."""

    places: list[float]
    kind: str
    ticks: dict[float, str]
    is_whole: bool = False


class Line(NamedTuple):
    """A run's curve: points, legend label (None: not in the legend), color, and whether the run completed."""

    x: Sequence[float]
    y: Sequence[float]
    label: str | None
    color: str
    is_complete: bool


def scale_of(key: str, values: Sequence[Setting], is_log: bool = False) -> Scale:
    """Categories if not all values are numbers; else log for rates, values that span decades or were searched so."""
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
    if len(numbers) < len(values):
        names = sorted({written(value) for value in values})
        places = [float(names.index(written(value))) for value in values]
        return Scale(places, "linear", dict(enumerate(names)) if len(names) <= MAX_NAMED else {}, True)
    name = key.rpartition(".")[2]
    is_whole = all(number.is_integer() for number in numbers) and name not in RATES
    spans = spans_decades(numbers, 20 if is_whole else 9.9) and name != "seed"
    is_log = min(numbers) > 0 and (is_log or spans or name in RATES)
    distinct = sorted(set(numbers))
    ticks = {number: f"{number:g}" for number in distinct} if len(distinct) <= MAX_TICKS else {}
    return Scale(numbers, "log" if is_log else "linear", ticks, is_whole)


def side_by_side(x: Sequence[float], y: Sequence[float], kind: str) -> list[float]:
    """x, with equal points (x, y) spread symmetrically and deterministically, by at most 2 % of the axis each."""
    seen: Counter[tuple[float, float]] = Counter()
    count = Counter(zip(x, y, strict=True))
    place = [math.log10(value) for value in x] if kind == "log" else list(x)
    distinct = sorted(set(place))
    room = min((b - a for a, b in pairwise(distinct)), default=1.0)
    step = 0.02 * ((distinct[-1] - distinct[0]) or 1.0)
    moved = []
    for at, point in zip(place, zip(x, y, strict=True), strict=True):
        others = count[point] - 1
        at += (seen[point] - others / 2) * min(step, 0.7 * room / max(others, 1))
        seen[point] += 1
        moved.append(10**at if kind == "log" else at)
    return moved


def draw_settings(
    metric: str, scales: Mapping[str, Scale], scores: Sequence[float], complete: Sequence[bool]
) -> Drawing:
    """One panel per setting, one point per run, hollow if incomplete; bars mark the means of repeated values."""
    letters = max((len(written_as(t)[0]) for s in scales.values() for t in s.ticks.values()), default=0)
    upright = {key for key, scale in scales.items() if sum(len(t) + 2 for t in scale.ticks.values()) > 42}
    columns = min(3, len(scales))
    below = 0.6 + 0.062 * letters if upright else 0.55
    figure, panels = panels_of(len(scales), columns, (3.6, 2.2 + below), 0.75, below)
    for (key, scale), axes in zip(scales.items(), panels, strict=True):
        axes.set_xscale(scale.kind)
        x = side_by_side(scale.places, scores, scale.kind)
        for well, face in ((False, "white"), (True, COLORS["val"])):
            points = [(a, b) for a, b, c in zip(x, scores, complete, strict=True) if c is well]
            a, b = zip(*points, strict=True) if points else ((), ())
            axes.scatter(a, b, s=26, alpha=0.7, facecolors=face, edgecolors=COLORS["val"], linewidths=0.8)
        _bars(axes, scale, scores, complete)
        _ticks(axes, scale, key in upright)
        if spans_decades(scores):
            axes.set_yscale("log")
        axes.margins(x=0.08 if scale.ticks else 0.05)
        axes.set_xlabel("x", fontsize=9)
        write_text(axes.xaxis.label, key, 9)
        axes.grid(axis="y", color="#e6e8eb", lw=0.7)
    for axes in panels[::columns]:
        axes.set_ylabel("y", fontsize=9)
        write_text(axes.yaxis.label, f"best {metric}", 9)
    return drawn(figure)


def _bars(axes: Any, scale: Scale, scores: Sequence[float], complete: Sequence[bool]) -> None:
    """Marks the mean of complete runs that share a value."""
    found: dict[float, list[float]] = {}
    for place, score, ended in zip(scale.places, scores, complete, strict=True):
        if ended:
            found.setdefault(place, []).append(score)
    if len(found) > MAX_TICKS:
        return
    for place, values in found.items():
        if len(values) > 1:
            axes.plot(place, sum(values) / len(values), marker="_", ms=22, mew=2, color=MARK, zorder=3)


def _ticks(axes: Any, scale: Scale, is_upright: bool) -> None:
    if scale.ticks:
        texts = [written_as(text)[0] for text in scale.ticks.values()]
        axes.set_xticks(list(scale.ticks), texts, rotation=90 if is_upright else 0)
        axes.minorticks_off()
        for artist, text in zip(axes.get_xticklabels(), scale.ticks.values(), strict=True):
            write_text(artist, text, 8)
        if len(scale.ticks) == 1:
            only = next(iter(scale.ticks))
            axes.set_xlim(*((only / 3, only * 3) if scale.kind == "log" else (only - 1, only + 1)))
    elif scale.kind == "linear":
        axes.xaxis.get_major_locator().set_params(integer=scale.is_whole)


def draw_lines(metric: str, lines: Sequence[Line], over: str) -> Drawing:
    """All runs' curves in one panel, incomplete runs dashed, with the legend beside it."""
    named = list({line.label: line for line in lines if line.label}.values())
    figure, (axes,) = panels_of(1, 1, (10.0, 3.6), 0.75)
    if named:
        figure.subplots_adjust(right=0.74)
    for line in sorted(lines, key=lambda line: line.color != FAINT):
        y = [value if math.isfinite(value) else math.nan for value in line.y]
        style = {"lw": 1.2, "ls": "-" if line.is_complete else "--", "marker": "o" if len(y) < 3 else None, "ms": 4}
        axes.plot(line.x, y, color=line.color, alpha=0.85, **style)
    if spans_decades(value for line in lines for value in line.y):
        axes.set_yscale("log")
    if all(float(x).is_integer() for line in lines for x in line.x):
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(over, fontsize=9)
    axes.set_ylabel("y", fontsize=9)
    write_text(axes.yaxis.label, metric, 9)
    axes.grid(axis="y", color="#e6e8eb", lw=0.7)
    if named:
        handles = [axes.plot([], [], color=line.color, lw=2)[0] for line in named]
        labels = [str(line.label) for line in named]
        legend = axes.legend(handles, labels, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.02))
        for artist, text in zip(legend.get_texts(), labels, strict=True):
            write_text(artist, text, 8)
    return drawn(figure)


def draw_best_of(metric: str, expected: Mapping[int, float], so_far: Sequence[float]) -> Drawing:
    """The expected best of n runs against n, and the best so far in the order in which the runs started."""
    figure, (axes,) = panels_of(1, 1, (5.2, 3.0), 0.75)
    order = range(1, len(so_far) + 1)
    axes.step(order, so_far, where="post", color="#8a9097", lw=1.2, label="best so far")
    if spans_decades([*expected.values(), *so_far]):
        axes.set_yscale("log")
    marker = "o" if len(expected) <= 30 else None
    axes.plot(
        list(expected), list(expected.values()), color=COLORS["val"], marker=marker, ms=3.5, label="expected best"
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("jobs (n)", fontsize=9)
    axes.set_ylabel("y", fontsize=9)
    write_text(axes.yaxis.label, f"best {metric}", 9)
    axes.grid(axis="y", color="#e6e8eb", lw=0.7)
    axes.legend(frameon=False, fontsize=8)
    return drawn(figure)
