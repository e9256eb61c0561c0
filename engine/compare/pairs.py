"""Compares two sides by their results, weights and photos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.compare.results import Result, results, verdict
from engine.compare.runs import Run
from engine.compare.sides import Side, refuse_one_network
from engine.compare.statistics import Difference, paired_by_photo
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.compare.photos import Answer

MAX_NAMED = 4  # tensors


@dataclass(frozen=True)
class Plan:
    """What to compare: a checkpoint, a split (None: test if both have one), and whether to compare on photos even if
    several seeds are available."""

    checkpoint: str
    split: str | None
    with_photos: bool


@dataclass
class Pair:
    """Two sides and everything known about them; `level` is the confidence level of each interval."""

    first: Side
    second: Side
    level: float
    results: Sequence[Result]
    answers: Sequence[tuple["Answer", "Answer"]] = ()
    photos: Difference | None = None
    split: str = ""
    on: str = ""
    """The split of the photos, and the seed of the two networks."""
    same_bits: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def letters(self) -> str:
        return f"{self.first.letter} and {self.second.letter}"

    @property
    def verdict(self) -> str:
        if self.same_bits:
            return f"Same bits: {self.letters} have the same weights, so what differs between them changes nothing."
        return verdict(self.first, self.second, self.results, self.photos, self.level)


def pair_up(first: Side, second: Side, level: float, plan: Plan) -> Pair:
    """Compares two sides. Raises UserError if both are one network under two names."""
    refuse_one_network(first, second)
    pair = Pair(first, second, level, results(first, second, level))
    alone = len(first.runs) == len(second.runs) == 1
    alike = [(run, other) for run in first.runs for other in second.runs if run.repeat == other.repeat]
    if alone or first.first.settings == second.first.settings:
        _compare_weights(pair, [(first.first, second.first)] if alone else alike, plan.checkpoint)
    if not pair.same_bits and (alone or plan.with_photos):
        _compare_photos(pair, *(alike[0] if alike else (first.first, second.first)), plan)
    return pair


def _compare_weights(pair: Pair, runs: Sequence[tuple[Run, Run]], wanted: str) -> None:
    """Compares the weights of runs with the same seed, or of the only two runs."""
    from engine.compare.photos import differing_weights  # only here: it imports torch

    if not runs or not all(_file(run, wanted).is_file() for both in runs for run in both):
        return
    found = [differing_weights(_file(run, wanted), _file(other, wanted)) for run, other in runs]
    pair.same_bits = not any(names for names, _ in found)
    ours, theirs = runs[0]
    if ours.settings != theirs.settings or ours.repeat != theirs.repeat or ours.checkpoint != theirs.checkpoint:
        return
    if pair.same_bits and all(run.facts.get("git") == other.facts.get("git") for run, other in runs):
        raise UserError(
            f"{ours.name} and {theirs.name} are one network under two names: the same config, the same code, and the "
            f"same bits in all {found[0][1]} tensors of {_file(ours, wanted).name}."
        )
    for (run, other), (names, count) in zip(runs, found, strict=True):
        if names:
            named = ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
            pair.remarks.append(
                f"{run.name} and {other.name} have the same config and seed, but {len(names)} of {count} tensors "
                f"have other bits: {named}."
            )


def _file(run: Run, wanted: str) -> Path:
    return run.directory / "checkpoints" / f"{run.checkpoint_or(wanted)}.ckpt"


def _compare_photos(pair: Pair, ours: Run, theirs: Run, plan: Plan) -> None:
    from engine.compare.photos import answers, common  # only here: it imports torch
    from engine.run.failure import sentence

    has_test = all(any(name.startswith("test/") for name in run.facts) for run in (ours, theirs))
    pair.split = plan.split or ("test" if has_test else "val")
    try:
        found = [answers(run, run.checkpoint_or(plan.checkpoint), pair.split) for run in (ours, theirs)]
        pair.answers = common(*found)
    except Exception as error:  # other people's parts or missing data may raise anything
        reason = sentence(error)
        if reason is None:
            raise
        pair.remarks.append(f"The photos are not compared: {reason.rstrip('.')}.")
        return
    if len(pair.answers) < max(map(len, found)):
        pair.remarks.append(
            f"{pair.letters} were evaluated on {' and '.join(f'{len(side):,}' for side in found)} {pair.split} photos; "
            f"the {len(pair.answers):,} that they have in common are compared."
        )
    right = [[answer.is_right for answer in side] for side in zip(*pair.answers, strict=True)]
    pair.photos = paired_by_photo(right[0], right[1], pair.level)
    fold = "" if ours.repeat[1] is None else f", fold {ours.repeat[1]}"
    pair.on = f"{pair.split}, seed {ours.seed}{fold}" if ours.repeat == theirs.repeat else pair.split
