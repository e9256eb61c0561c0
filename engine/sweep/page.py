"""sweep.html: plots and tables of a sweep that work offline."""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config.sweep_job import Setting, written
from engine.files import replace_text
from engine.sweep.groups import group_by_seed
from engine.sweep.report import cells, headings
from engine.sweep.table import Row, Sweep

MAX_TICKS = 8  # on an axis of the parallel coordinates; with more values, only decades are marked

STYLE = """
body { font-family: sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: 0.25em 0.8em; border-bottom: 1px solid #ddd; text-align: left; font-variant-numeric: tabular-nums }
.failed, .interrupted, .missing { color: #b00 }
"""


def write_page(sweep: Sweep) -> None:
    """Writes sweep.html: the metric against each swept key, parallel coordinates, and the tables.

    plotly's script is next to it, in plotly.min.js.
    """
    from plotly.offline import get_plotlyjs  # only needed at the end of a sweep

    script = sweep.directory / "plotly.min.js"
    if not script.exists():
        replace_text(script, get_plotlyjs())
    rows = sorted(sweep.jobs.values(), key=lambda row: row.number)
    shown = [row for row in rows if row.best is not None]
    figures = [_scatter(shown, sweep.keys), _parallel(shown, sweep.keys)] if shown and sweep.keys else []
    title = html.escape(Path(sweep.directory.absolute()).name)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>',
        f'<script src="{script.name}"></script></head><body><h1>{title}</h1>',
        *(figure.to_html(full_html=False, include_plotlyjs=False) for figure in figures),
        _groups(sweep),
        _jobs(rows, sweep.keys),
        "</body></html>",
    ]
    replace_text(sweep.directory / "sweep.html", "\n".join(parts))


def _scatter(rows: Sequence[Row], keys: Sequence[str]) -> Any:
    """The best value of the metric against each key, one plot per key; hovering over a point shows its job."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(keys), shared_yaxes=True, horizontal_spacing=0.02)
    names = [f"{row.directory}<br>{row.metric} {row.best:.4g}" for row in rows]
    for column, key in enumerate(keys, start=1):
        values = [row.overrides.get(key) for row in rows]
        x: list[Any] = [*(_numbers(values) or map(written, values))]
        points = Scatter(x=x, y=[row.best for row in rows], mode="markers", text=names, hoverinfo="text")
        figure.add_trace(points, row=1, col=column)
        figure.update_xaxes(title_text=key, type=_axis(values), row=1, col=column)
    metrics = " | ".join(dict.fromkeys(str(row.metric) for row in rows))
    figure.update_yaxes(type=_axis([row.best for row in rows]))
    return figure.update_layout(showlegend=False, height=420, yaxis_title=f"best {metrics}", template="plotly_white")


def _axis(values: Sequence[Setting]) -> str:
    numbers = _numbers(values)
    return "category" if numbers is None else "log" if _spans_decades(numbers) else "linear"


def _parallel(rows: Sequence[Row], keys: Sequence[str]) -> Any:
    """Parallel coordinates: one line per job through its settings to its result, coloured by the result."""
    from plotly.graph_objects import Figure, Parcoords

    result = _dimension(f"best {rows[0].metric}", [row.best for row in rows])
    dimensions = [_dimension(key, [row.overrides.get(key) for row in rows]) for key in keys]
    line = {"color": result["values"], "colorscale": "Viridis", "reversescale": rows[0].mode == "min"}
    return Figure(Parcoords(dimensions=[*dimensions, result], line=line)).update_layout(height=420)


def _dimension(label: str, values: Sequence[Setting]) -> dict[str, Any]:
    """An axis: linear for numbers, logarithmic if they span decades, equidistant for anything else."""
    numbers = _numbers(values)
    if numbers is None:
        names = sorted({written(value) for value in values})
        return _ticks(label, [names.index(written(value)) for value in values], dict(enumerate(names)))
    if not _spans_decades(numbers):
        return {"label": label, "values": numbers}
    distinct = sorted(set(numbers))
    decades = range(math.floor(math.log10(distinct[0])), math.ceil(math.log10(distinct[-1])) + 1)
    marks = distinct if len(distinct) <= MAX_TICKS else [10.0**decade for decade in decades]
    return _ticks(label, [math.log10(value) for value in numbers], {math.log10(mark): f"{mark:.3g}" for mark in marks})


def _ticks(label: str, values: Sequence[float], marks: Mapping[float, str]) -> dict[str, Any]:
    return {"label": label, "values": values, "tickvals": list(marks), "ticktext": list(marks.values())}


def _numbers(values: Sequence[Setting]) -> list[float] | None:
    """The values, if all are numbers."""
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(values) else None


def _spans_decades(numbers: Sequence[float]) -> bool:
    return min(numbers) > 0 and max(numbers) >= 30 * min(numbers)


def _groups(sweep: Sweep) -> str:
    groups = group_by_seed(sweep.jobs.values())
    if not groups:
        return ""
    keys = [key for key in sweep.keys if key != "seed" or all(len(group.rows) == 1 for group in groups)]
    return _html_table([*keys, *headings(groups)], [("", cells(group, keys, groups)) for group in groups])


def _jobs(rows: Sequence[Row], keys: Sequence[str]) -> str:
    columns = ("best", "final", "epochs", "seconds", "directory", "error")
    body = []
    for row in rows:
        settings = [written(row.overrides.get(key, "")) for key in keys]
        body.append((row.status, [row.number, row.status, *settings, *(getattr(row, name) for name in columns)]))
    return _html_table(["job", "status", *keys, *columns], body)


def _html_table(head: Sequence[str], body: Sequence[tuple[str, Sequence[Any]]]) -> str:
    """An HTML table; each row of `body` starts with its CSS class."""
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = [f'<tr class="{html.escape(kind)}">' + "".join(map(_cell, values)) + "</tr>" for kind, values in body]
    return f"<table><tr>{top}</tr>{''.join(lines)}</table>"


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
    return f"<td>{html.escape(text)}</td>"
