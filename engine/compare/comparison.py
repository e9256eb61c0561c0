"""Compares two or more sides in a document: what differs, the results, and a verdict."""

from collections.abc import Sequence

from engine.compare.document import Document, Section
from engine.compare.pairs import Pair, Plan, pair_up
from engine.compare.results import COVERAGE, interval, more_seeds, percent
from engine.compare.sides import STAND_IN, Side, fact, refuse_other_data
from engine.wording import rounded, shown

FACTS = {
    "code (git commit)": ("", "git"),
    "network": ("network", "name"),
    "which stands in for": ("network", "substitute_for"),
    "torch": ("", "torch"),
    "lightning": ("", "lightning"),
}
NAMED = 8  # photos listed in the terminal; the contact sheet has more
COLUMNS = 5  # of the contact sheet
LIMIT = 40  # settings listed


def compare(sides: Sequence[Side], plan: Plan) -> Document:
    """Compares each side with the first one.

    Raises:
        UserError: some runs use stand-in data and others do not, or two names stand for one network.
    """
    refuse_other_data(sides)
    # Bonferroni correction: all intervals together cover with at least COVERAGE.
    level = 1 - (1 - COVERAGE) / (len(sides) - 1)
    pairs = [pair_up(sides[0], side, level, plan) for side in sides[1:]]
    document = Document(_title(sides), [pair.verdict for pair in pairs])
    document.notices = [*_notices(sides), *(text for pair in pairs for text in pair.remarks)]
    document.sections = [_who(sides), _config(sides), _code_and_data(sides)]
    document.sections += [section for pair in pairs for section in (_results(pair), _photos(pair)) if section]
    if plan.with_photos and any(pair.answers for pair in pairs):
        _add_sheet(document, pairs)
    return document


def _add_sheet(document: Document, pairs: Sequence[Pair]) -> None:
    from engine.compare.photos import tiles  # only here: it imports torch
    from engine.results.contact_sheet import SIZE, draw_tiles

    found = [tile for pair in pairs for tile in tiles(pair.answers, pair.first.letter + pair.second.letter)]
    if found:
        document.sheet = draw_tiles(found, columns=COLUMNS, size=SIZE)
        document.sheet_text = f"{len(found)} photos; those that one of the two networks gets right come first."


def _title(sides: Sequence[Side]) -> str:
    names = [side.first.name if len(side.runs) == 1 else f"{len(side.runs)} runs" for side in sides]
    return " | ".join(f"{side.letter}: {name}" for side, name in zip(sides, names, strict=True))


def _notices(sides: Sequence[Side]) -> list[str]:
    lines = []
    if any(STAND_IN in side.values("data", "source") for side in sides):
        lines.append("STAND-IN DATA: the photos were drawn by this project; no result says anything about real ones.")
    for side in sides:
        for wanted in side.values("network", "substitute_for"):
            network = ", ".join(side.values("network", "name"))
            lines.append(
                f"SUBSTITUTE WEIGHTS: in {side.letter}, {network} stands in for {wanted}, whose weights were missing."
            )
    return lines


def _who(sides: Sequence[Side]) -> Section:
    rows = []
    for side in sides:
        names = [run.name for run in side.runs]
        shown_names = names[0] if len(names) == 1 else f"{len(names)} runs, {names[0]} … {names[-1]}"
        seeds = ", ".join(dict.fromkeys(shown(run.seed) for run in side.runs))
        seeds += f", {side.folds} folds" if side.folds > 1 else ""
        statuses = ", ".join(dict.fromkeys(run.status for run in side.runs))
        rows.append([side.letter, shown_names, side.first.experiment, seeds, statuses])
    return Section("Runs", ["", "run", "experiment", "seed", "status"], rows)


def _config(sides: Sequence[Side]) -> Section:
    settings = [side.first.settings for side in sides]
    keys = dict.fromkeys(key for own in settings for key in own)
    missing = object()
    differing = [key for key in keys if any(own.get(key, missing) != settings[0].get(key, missing) for own in settings)]
    if not differing:
        return Section("Config", text=["The same, except for seed and fold."])
    rows = [[key, *(shown(own[key]) if key in own else "not set" for own in settings)] for key in differing[:LIMIT]]
    more = [f"… and {len(differing) - LIMIT} more settings."] if len(differing) > LIMIT else []
    return Section("Config: settings that differ", ["key", *(side.letter for side in sides)], rows, more)


def _code_and_data(sides: Sequence[Side]) -> Section:
    of_data = dict.fromkeys(
        name for side in sides for run in side.runs for name in ["source", *(run.facts.get("data") or {})]
    )
    facts = FACTS | {f"data: {name}": ("data", name) for name in of_data}
    values = {label: [", ".join(side.values(*place)) or "unknown" for side in sides] for label, place in facts.items()}
    rows = [[label, *texts] for label, texts in values.items() if len(set(texts)) > 1]
    text = []
    if not rows:
        source = " ".join(f"{values[f'data: {name}'][0]}" for name in ("name", "source") if f"data: {name}" in values)
        text.append(f"The same code ({values['code (git commit)'][0]}), packages and data ({source}).")
    if any("dirty" in str(fact(run, "", "git")) for side in sides for run in side.runs):
        text.append("Some code was changed without a commit (-dirty): it may differ where the commit is the same.")
    return Section("Code and data", ["", *(side.letter for side in sides)], rows, text)


def _results(pair: Pair) -> Section:
    a, b = pair.first.letter, pair.second.letter
    level = percent(pair.level)
    head = ["metric", a, b, f"{a} − {b}", f"{level} interval", "n", f"P({a} better)", "more seeds"]
    rows = []
    for result in pair.results:
        difference, p = result.difference, result.p_better
        means = [rounded(result.first, difference.half), rounded(result.second, difference.half)]
        values = [*means, difference.shown, interval(difference)]
        row = [result.label, *values, str(difference.n), "" if p is None else percent(p), more_seeds(difference)]
        rows.append(row)
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    covers = {result.difference.covers: None for result in pair.results if result.difference.covers}
    text = [f"Each interval is Student's t and covers {what}." for what in covers]
    if covers:
        text.append(f"P({a} better): of the true means, given these results and no prior knowledge.")
    if head[-1] == "more seeds":
        text.append(
            "More seeds: with them, the interval would exclude 0 in four of five cases, if the measured difference is "
            "the true one."
        )
    if pair.level > COVERAGE:
        text.append(f"With several comparisons, each is at {level}, so that all hold together at {percent(COVERAGE)}.")
    return Section(f"Results: {a} against {b}", head, rows, text or ["One run each: no interval over seeds."])


def _photos(pair: Pair) -> Section | None:
    if pair.photos is None:
        return None
    a, b = pair.first.letter, pair.second.letter
    counts = [
        sum((ours.is_right, theirs.is_right) == kind for ours, theirs in pair.answers)
        for kind in ((True, True), (True, False), (False, True), (False, False))
    ]
    changed = [both for both in pair.answers if both[0].predicted != both[1].predicted]
    difference = pair.photos
    p = "" if difference.p_better is None else percent(difference.p_better)
    head = ["photos", "both right", f"only {a}", f"only {b}", "both wrong", f"{a} − {b}"]
    head += [f"{percent(pair.level)} interval", f"P({a} better)"]
    row = [f"{difference.n:,}", *map(str, counts), difference.shown, interval(difference), p]
    text = [f"The predicted class differs on {len(changed)} photos{':' if changed else '.'}"]
    text += [f"  {ours.name}: {ours.predicted}, {theirs.predicted} ({ours.label})" for ours, theirs in changed[:NAMED]]
    if changed:
        more = f"; {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        text.append(f"(file: predicted by {a}, by {b} (true class){more})")
    if difference.covers:
        text.insert(0, f"The interval covers {difference.covers} (exact, from McNemar's test).")
    return Section(f"The same photos ({pair.on}): {a} against {b}", head, [row], text)
