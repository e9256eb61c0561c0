"""sweep.html: a sweep on one page that can be opened offline."""

import shlex
from collections.abc import Callable, Mapping, Sequence

from engine.config.sweep_job import DONE, REPEATS, Setting, key_of, written
from engine.errors import UserError
from engine.files import replace_text
from engine.pages.curves import read_logged
from engine.pages.figure import Drawing
from engine.pages.markup import (
    Link,
    Numeric,
    command_lines,
    details,
    document,
    escaped,
    paragraph,
    picture,
    section,
    table,
)
from engine.pages.plots import FAINT, PALETTE, Line, draw_best_of, draw_lines, draw_settings, scale_of
from engine.paths import typed
from engine.statistics import expected_best
from engine.sweep.groups import Group, grouped, places, ranked
from engine.sweep.report import FACTS, cells, counted, headings, judged, number, span
from engine.sweep.table import Row, Sweep
from engine.wording import NUMBER, figure, rounded, warnings_about

NAME, REPORT = "sweep.html", "report.html"
MAX_ROWS, MAX_PANELS, MAX_SIZES = 40, 9, 60
JUDGE = "judge the best"
HEADINGS = {"[95 %]": "95 % interval", "− first [95 %]": "minus the first, 95 % interval"}
"""The terminal table's headings, in full."""

EXPECTED = (
    "Expected best: the mean of the best of n completed jobs over all subsets of n (Dodge et al. 2019; without bias, "
    "Tang et al. 2020). Gray: the best so far, in the order of the jobs. Compare a method with the best of as many "
    "jobs of another one, not with the best of more."
)


def write_page(sweep: Sweep) -> None:
    """Writes sweep.html: the jobs from best to worst, then plots of their results."""
    rows, groups = ranked(sweep.jobs.values()), grouped(sweep.jobs.values())
    metrics = dict.fromkeys(row.metric for row in rows if row.metric and row.best is not None)
    judgement = judged(sweep.directory, groups, len(rows)) if groups else {}
    parts = [
        *(paragraph(notice, "notice") for notice in _notices(rows)),
        f"<h1>{escaped(title(sweep))}</h1>\n<pre><code>{escaped(_started(sweep))}</code></pre>\n",
        paragraph(_answer(sweep, groups), "answer"),
        paragraph(f"{counted(sweep)}.", "faint"),
        *(paragraph(f"{what.capitalize()}: {text}.", "faint") for what, text in judgement.items() if what != JUDGE),
        _settings(sweep, groups),
        section("Jobs", _jobs(sweep, rows)),
    ]
    for metric in metrics:
        shown = [row for row in rows if row.metric == metric and row.best is not None]
        name = f": {metric}" if len(metrics) > 1 else ""
        parts += [
            _drawn(f"Result by setting{name}", lambda: _by_setting(sweep, shown)),  # noqa: B023 (drawn at once)
            _drawn(f"Curves{name}", lambda: _curves(sweep, shown)),  # noqa: B023
            _drawn(f"Expected best of n jobs{name}", lambda: _best_of(sweep, shown)),  # noqa: B023
        ]
    parts.append(section("Commands", command_lines(_commands(sweep, groups, judgement)), _reports(sweep, rows)))
    replace_text(sweep.directory / NAME, document(title(sweep), "".join(parts)))


def title(sweep: Sweep) -> str:
    """`transfer_feature_extractor: optimizer.lr × seed, 12 jobs`."""
    given = [text.partition("=")[2] for text in sweep.arguments if key_of(text) == "experiment"]
    folder = sweep.directory.absolute().parent.name
    experiment = (given or [folder.removesuffix("_sweep") if folder.endswith("_sweep") else "Sweep"])[-1]
    swept = " × ".join(_keys(sweep)) or "nothing swept"
    return f"{experiment}: {swept}, {len(sweep.jobs)} job{'' if len(sweep.jobs) == 1 else 's'}"


def _keys(sweep: Sweep) -> list[str]:
    """What was swept, seed and fold last."""
    return sorted(sweep.keys, key=lambda key: key in REPEATS)


def _notices(rows: Sequence[Row]) -> list[str]:
    found = (warnings_about(str(row.source), row.network, row.substitute_for) for row in rows)
    return list(dict.fromkeys(notice for notices in found for notice in notices))


def _started(sweep: Sweep) -> str:
    return shlex.join(["python", "train.py", *sweep.arguments])


def _named(group: Group) -> str:
    return ", ".join(f"{key}={_cell(value)}" for key, value in group.overrides.items())


def _answer(sweep: Sweep, groups: Sequence[Group]) -> str:
    """The best setting with its interval, and whether its lead over the next one may be chance."""
    if not groups:
        return "No job completed."
    best, others = groups[0], [group for group in groups[1:] if group.metric == groups[0].metric]
    name = f"Best: {_named(best)} with " if best.overrides else ""
    if len(best.rows) == 1:
        said = f"{name}{best.metric} {number(best.mean)}, job {best.best.number}"
        return (
            f"{said}. One job per setting: how much of a difference is chance is not known." if others else f"{said}."
        )
    between = best.summary(best)["interval"]
    mean, std = (rounded(value, best.std) for value in (best.mean, best.std or 0.0))
    said = f"{name}{best.metric} {mean} ± {std} (mean and standard deviation over {len(best.rows)} {best.over}"
    said += f"; 95 % interval of the mean {span(between)})" if between else ")"
    versus = others[0].summary(best) if others else {}
    difference = versus.get("difference")
    if difference and (bounds := difference["interval"]):
        chance = "may be chance" if bounds[0] <= 0 <= bounds[1] else "is unlikely to be chance"
        lead = rounded(difference["mean"], (bounds[1] - bounds[0]) / 2, "+")
        said += f". Its lead over the next, {_named(others[0])}, {chance}: over the same {best.over} the next minus "
        said += f"the best is {lead}, 95 % interval {span(bounds)}"
    elif versus.get("not_compared"):
        said += f". It cannot be compared with the next, {_named(others[0])}: {versus['not_compared']}"
    return f"{said}."


def _settings(sweep: Sweep, groups: list[Group]) -> str:
    """The mean and interval of each setting, if any was run with several seeds or folds."""
    if all(len(group.rows) == 1 for group in groups):
        return ""
    keys = [key for key in sweep.keys if key not in REPEATS]
    rows = [
        [
            *(_cell(group.overrides.get(key)) for key in keys),
            *(Numeric(text) if NUMBER.fullmatch(text) else text for text in cells(group, [], groups)),
        ]
        for group in groups
    ]
    head = [*keys, *(HEADINGS.get(name, name) for name in headings(groups))]
    return section(f"Settings, over their {groups[0].over}", _folded(head, rows))


def _folded(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that shows its first MAX_ROWS rows and folds the others."""
    more = table(head, rows[MAX_ROWS:], kind="words")
    return table(head, rows[:MAX_ROWS], kind="words") + (details(f"{len(rows) - MAX_ROWS} more", more) if more else "")


def _jobs(sweep: Sweep, rows: Sequence[Row]) -> str:
    metrics = " | ".join(dict.fromkeys(row.metric for row in rows if row.metric)) or "metric"
    facts = [name for name in FACTS if any(_fact(row, name) for row in rows)]
    optional = [name for name in ("status", "error") if any(row.status != DONE[0] for row in rows)]
    head = ["rank", "job", *optional[:1], *_keys(sweep), f"best {metrics}", "last epoch", "epochs", "seconds", *facts]
    keys, ranks = _keys(sweep), places(rows)
    body = [
        [
            Numeric(ranks.get(row.number, "")),
            _link(sweep, row),
            *([row.status] if optional else []),
            *(_cell(row.overrides[key]) if key in row.overrides else "" for key in keys),
            *(Numeric(figure(value)) for value in (row.best, row.final, row.epochs, row.seconds)),
            *(_fact(row, name) for name in facts),
            *([row.error or ""] if optional else []),
        ]
        for row in rows
    ]
    head += optional[1:]
    return _folded(head, body)


def _cell(value: Setting) -> str:
    """A setting as text; numbers with five digits, as those of a search may have seventeen."""
    if isinstance(value, bool | str) or value is None:
        return written(value)
    return Numeric(f"{value:.5g}" if isinstance(value, float) else value)


def _fact(row: Row, name: str) -> str:
    value = row.substitute_for if name == "substitute for" else row.source if row.source == "stand-in" else None
    return value or ""


def _link(sweep: Sweep, row: Row) -> object:
    """Its number, with a link to the job's report or else to its directory, if it was started."""
    name = f"{row.number:03}"  # as its directory begins, which also names the settings
    if not row.directory:
        return name
    has_report = (sweep.directory / row.directory / REPORT).is_file()
    return Link(name, f"{row.directory}/{REPORT if has_report else ''}")


# Drawings ------------------------------------------------------------------------------------------------------------


def _drawn(heading: str, draw: Callable[[], tuple[Drawing, str, str] | None]) -> str:
    """A section with a heading, a plot and a caption; a sentence if it cannot be drawn."""
    try:
        found = draw()
    except Exception as error:  # the tables matter more
        return section(heading, paragraph(f"This could not be drawn ({type(error).__name__}: {error}).", "faint"))
    if found is None:
        return ""
    drawing, what, caption = found
    return section(heading, picture(drawing.png, what, drawing.size), paragraph(caption, "faint"))


def _by_setting(sweep: Sweep, rows: Sequence[Row]) -> tuple[Drawing, str, str] | None:
    searched = {key_of(text) for text in sweep.arguments if "tag(log" in text}
    values = {key: [row.overrides.get(key) for row in rows] for key in _keys(sweep)}
    varied = [key for key in values if len(set(map(written, values[key]))) > 1]
    if not varied:
        return None
    scales = {key: scale_of(key, values[key], key in searched) for key in varied[:MAX_PANELS]}
    complete = [row.status == DONE[0] for row in rows]
    drawing = draw_settings(str(rows[0].metric), scales, [row.best or 0.0 for row in rows], complete)
    hollow = " Hollow: jobs that did not complete." if not all(complete) else ""
    more = f" Not drawn: {', '.join(varied[MAX_PANELS:])}." if len(varied) > MAX_PANELS else ""
    bars = " Bars are means." if any(len(set(scale.places)) < len(rows) for scale in scales.values()) else ""
    said = f"One point per job; equal ones are drawn side by side.{bars}{hollow}{more}"
    return drawing, f"{rows[0].metric} by {', '.join(scales)}", said


def _curves(sweep: Sweep, rows: Sequence[Row]) -> tuple[Drawing, str, str] | None:
    metric = str(rows[0].metric)
    read = {row.number: _curve(sweep, row, metric) for row in rows}
    shown = [row for row in rows if read[row.number]]
    if not shown:
        return None
    by_epoch = all(len(read[row.number]) == row.epochs for row in shown if row.status == DONE[0])
    colors, caption = _colors(shown)
    lines = []
    for row in shown:
        curve = read[row.number]
        x = list(range(1, len(curve) + 1)) if by_epoch else list(curve)
        label, color = colors.get(row.number, (None, FAINT if len(shown) > 1 else PALETTE[0]))
        lines.append(Line(x, list(curve.values()), label, color, row.status == DONE[0]))
    dashed = " Dashed: jobs that did not complete." if any(not line.is_complete for line in lines) else ""
    drawing = draw_lines(metric, lines, "epoch" if by_epoch else "optimizer step")
    return drawing, f"{metric} of {len(lines)} jobs over the training", f"{caption}{dashed}".strip()


def _curve(sweep: Sweep, row: Row, metric: str) -> dict[int, float]:
    try:
        return read_logged(sweep.directory / row.directory, only=metric).curves.get(metric, {}) if row.directory else {}
    except (OSError, UserError):  # the directory may not be ours
        return {}


def _colors(rows: Sequence[Row]) -> tuple[dict[int, tuple[str, str]], str]:
    """Legend and color of each job: one color per setting if there are few, otherwise only the best jobs get one."""
    settings = [{key: value for key, value in row.overrides.items() if key not in REPEATS} for row in rows]
    if len(rows) > 1 and all(own == settings[0] for own in settings):
        settings = [row.overrides for row in rows]
    names = {
        row.number: ", ".join(f"{key.rpartition('.')[2]}={written(value)}" for key, value in own.items())
        for row, own in zip(rows, settings, strict=True)
    }
    distinct = list(dict.fromkeys(names.values()))
    if len(distinct) <= len(PALETTE):
        return {number: (name, PALETTE[distinct.index(name)]) for number, name in names.items() if name}, ""
    best = [row.number for row in rows[: len(PALETTE)]]
    colors = {number: (f"job {number}", PALETTE[place]) for place, number in enumerate(best)}
    return colors, f"Colored: the best {len(best)} of {len(rows)} jobs."


def _best_of(sweep: Sweep, rows: Sequence[Row]) -> tuple[Drawing, str, str] | None:
    """The expected best of n of the completed jobs; None for fewer than three."""
    done = sorted((row for row in rows if row.status == DONE[0]), key=lambda row: row.number)
    if len(done) < 3:
        return None
    mode, scores = done[0].mode or "min", [row.best or 0.0 for row in done]
    sizes = dict.fromkeys(1 + i * (len(scores) - 1) // (MAX_SIZES - 1) for i in range(MAX_SIZES))
    expected = {size: expected_best(scores, size, mode) for size in sizes}
    choose = max if mode == "max" else min
    so_far = [choose(scores[: n + 1]) for n in range(len(scores))]
    drawing = draw_best_of(str(done[0].metric), expected, so_far)
    luck = " Only seeds and folds differ: whatever the curve gains is luck." if {*sweep.keys} <= {*REPEATS} else ""
    return drawing, f"Expected best {done[0].metric} of n jobs", EXPECTED + luck


# Commands ------------------------------------------------------------------------------------------------------------


def _commands(sweep: Sweep, groups: Sequence[Group], judgement: Mapping[str, str]) -> list[tuple[str, str]]:
    """Next commands, valid in the folder from which the page was written."""
    directory = typed(sweep.directory)
    lines = [("Repeat the best job", groups[0].best.command)] if groups else []
    lines += [("Evaluate the best on photos that did not select it", judgement[JUDGE])] if JUDGE in judgement else []
    if sweep.unfinished:
        lines.append(("Run what is missing or failed", f"python train.py -m sweep.resume={directory}"))
    return [*lines, ("All curves", f"tensorboard --logdir {directory}")]


def _reports(sweep: Sweep, rows: Sequence[Row]) -> str:
    """A command for each job that has no report yet."""
    places = [sweep.directory / row.directory for row in rows if row.directory]
    missing = [f"python report.py run={typed(place)}" for place in places if not (place / REPORT).is_file()]
    if not missing:
        return ""
    said = paragraph("A job's report is written on demand, and linked above from then on:", "faint")
    first, *others = (f"<pre><code>{escaped(text)}</code></pre>\n" for text in (missing[0], "\n".join(missing[1:])))
    return said + first + (details(f"The other {len(missing) - 1}", others[0]) if len(missing) > 1 else "")
