"""Compares the results of two sides metric by metric, and states a verdict in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.compare.sides import Side, fact
from engine.compare.statistics import MAX_SEEDS, MIN_SEEDS, Difference, paired, unpaired
from engine.wording import rounded

COVERAGE = 0.95  # joint, of all intervals of a comparison


@dataclass(frozen=True)
class Result:
    """A metric of two sides, `name` as in metrics.json: both means, and their difference A - B."""

    name: str
    mode: str
    first: float
    second: float
    difference: Difference

    @property
    def label(self) -> str:
        """The metric and its epoch. The best epoch is marked as chosen by this very metric, on the same data."""
        if self.name.startswith("best/"):
            return f"{self.name.removeprefix('best/')}, best epoch (chosen by it)"
        return f"{self.name}, {'best' if self.name.startswith('test/') else 'last'} epoch"

    @property
    def p_better(self) -> float | None:
        p = self.difference.p_better
        return p if p is None or self.mode == "max" else 1 - p

    @property
    def first_is_better(self) -> bool:
        return (self.difference.mean > 0) == (self.mode == "max")


def results(first: Side, second: Side, level: float) -> list[Result]:
    """The metrics that both sides have; the one for the verdict comes first."""
    found = []
    for name, mode in _metrics(first, second):
        ours, theirs = first.by_repeat(name), second.by_repeat(name)
        if not ours or not theirs:
            continue
        shared = [repeat for repeat in ours if repeat in theirs]
        pairs = [ours[repeat] for repeat in shared], [theirs[repeat] for repeat in shared]
        if len(shared) < MIN_SEEDS <= min(len(ours), len(theirs)) or not shared:
            pairs = [*ours.values()], [*theirs.values()]
            difference = unpaired(*pairs, level, (first.folds, second.folds))
        else:
            difference = paired(*pairs, level, folds=len({fold for _, fold in shared}))
        first_mean, second_mean = (sum(values) / len(values) for values in pairs)
        found.append(Result(name, mode, first_mean, second_mean, difference))
    return found


def _metrics(first: Side, second: Side) -> list[tuple[str, str]]:
    """Names in metrics.json, each with max or min: the monitored metric if both sides share it, and accuracies."""
    monitored, mode = first.first.metric, first.first.mode
    names: dict[str, str] = {}
    if monitored and monitored == second.first.metric:
        test = f"test/{monitored.partition('/')[2]}"
        names |= {test: mode, f"best/{monitored}": mode, monitored: mode}
    names |= {"test/acc": "max", "val/acc": "max"}
    losses = {"test/loss": "min", "val/loss": "min"}
    return list((names if monitored == second.first.metric and monitored else names | losses).items())


def differ_by_chance_alone(first: Side, second: Side) -> bool:
    """Whether config, code, data and packages are the same, so all differences come from the seeds."""
    same_config = first.first.settings == second.first.settings and first.first.checkpoint == second.first.checkpoint
    names = [("", "git"), ("data", "name"), ("data", "source"), ("network", "name"), ("", "torch"), ("", "lightning")]
    same = all(len({str(fact(run, *name)) for side in (first, second) for run in side.runs}) == 1 for name in names)
    repeats = [{run.repeat for run in side.runs} for side in (first, second)]
    return same_config and same and repeats[0] != repeats[1]


def percent(share: float) -> str:
    """A probability in percent; `> 99.9 %` at most, since a handful of runs never proves 100 %."""
    if share > 0.999:
        return "> 99.9 %"
    return "< 0.1 %" if share < 0.001 else f"{100 * share:.3g} %"


def interval(difference: Difference) -> str:
    """`0.001 to 0.02`, or why there is no interval."""
    if difference.low is None or difference.high is None:
        return f"none: {difference.why}"
    return f"{rounded(difference.low, difference.half, '+')} to {rounded(difference.high, difference.half, '+')}"


def more_seeds(difference: Difference) -> str:
    """About how many more seeds would settle the comparison; empty if it is settled or more would not help."""
    if difference.decided or difference.low is None or difference.folds > 1:
        return ""
    if difference.needed is None:
        return f"more than {MAX_SEEDS:,}" if difference.mean else ""
    return str(max(1, difference.needed - difference.n))


def verdict(first: Side, second: Side, found: Sequence[Result], photos: Difference | None, level: float) -> str:
    """The verdict on two sides, in one sentence."""
    letters = f"{first.letter} and {second.letter}"
    if differ_by_chance_alone(first, second):
        what = "seed" if {run.repeat[1] for run in (*first.runs, *second.runs)} == {None} else "seed and fold"
        return f"Undecided: {letters} differ only in the {what}, so whatever differs between them is chance."
    if photos is not None and len(first.runs) == len(second.runs) == 1:
        return _of_photos(first, second, photos, level)
    if not found:
        return f"Undecided: {letters} have no result in common."
    main = found[0]
    difference = main.difference
    shown = f"{main.label}, {rounded(main.first, difference.half)} and {rounded(main.second, difference.half)}"
    repeats = "seeds" if max(first.folds, second.folds) == 1 else "folds"
    if difference.low is None:
        few = difference.n < MIN_SEEDS
        reason = f"too few {repeats} for an interval" if few else "all differences are equal, so they show no spread"
        return f"Undecided with n = {difference.n}: {shown}; {reason}."
    said = f"difference {difference.shown}, {percent(level)} interval {interval(difference)}"
    if difference.decided:
        better, worse = (first, second) if main.first_is_better else (second, first)
        return f"{better.letter} is better than {worse.letter} with n = {difference.n} {repeats}: {shown}; {said}."
    more = more_seeds(difference)
    hint = f"; about {more} more seeds would settle it if the true difference is as large" if more else ""
    return f"Undecided, indistinguishable with n = {difference.n}: {shown}; {said}{hint}."


def _of_photos(first: Side, second: Side, photos: Difference, level: float) -> str:
    if photos.low is None or photos.high is None:
        return f"Undecided: {first.letter} and {second.letter} are right and wrong on the same {photos.n:,} photos."
    points = [f"{100 * value:+.1f}" for value in (photos.mean, photos.low, photos.high)]
    said = f"accuracy {points[0]} points on {photos.n:,} photos, {percent(level)} interval {points[1]} to {points[2]}"
    if photos.decided:
        better, worse = (first, second) if photos.mean > 0 else (second, first)
        return (
            f"The network of {better.letter} is better than that of {worse.letter} on photos like these "
            f"({first.letter} − {second.letter}: {said}); for their settings, give {MIN_SEEDS} seeds or more."
        )
    return f"Undecided, indistinguishable with one seed each ({first.letter} − {second.letter}: {said})."
