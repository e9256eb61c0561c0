"""Two sides against each other: their results, weights and photos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.compare.photos import Answer, answers, checkpoint_of, common, differing_weights
from engine.compare.results import Result, results, verdict
from engine.compare.runs import Run
from engine.compare.sides import Side, refuse_one_network
from engine.compare.statistics import Difference, paired_by_photo
from engine.errors import UserError
from engine.run.failure import sentence

MAX_NAMED = 4  # tensors


@dataclass(frozen=True)
class Plan:
    """What of the runs is compared: a checkpoint, a split (None: test where there is one), and whether on photos too,
    where the seeds would do."""

    checkpoint: str
    split: str | None
    with_photos: bool


@dataclass
class Pair:
    """Two sides, with everything that is known of them; level: that of each interval."""

    first: Side
    second: Side
    level: float
    results: Sequence[Result]
    answers: Sequence[tuple[Answer, Answer]] = ()
    photos: Difference | None = None
    split: str = ""
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
    """UserError where both sides are one network under two names."""
    refuse_one_network(first, second)
    pair = Pair(first, second, level, results(first, second, level))
    alone = len(first.runs) == len(second.runs) == 1
    ours, theirs = _with_one_seed(first, second)
    if alone:
        _compare_weights(pair, plan.checkpoint)
    if not pair.same_bits and (alone or plan.with_photos):
        _compare_photos(pair, ours, theirs, plan)
    return pair


def _with_one_seed(first: Side, second: Side) -> tuple[Run, Run]:
    """A run of each, with the same seed if possible."""
    pairs = [(run, other) for run in first.runs for other in second.runs if run.seed == other.seed]
    return pairs[0] if pairs else (first.first, second.first)


def _compare_weights(pair: Pair, wanted: str) -> None:
    ours, theirs = pair.first.first, pair.second.first
    files = [_file(run, wanted) for run in (ours, theirs)]
    if not all(file.is_file() for file in files):
        return
    differing, count = differing_weights(*files)
    same_config = ours.settings == theirs.settings and ours.seed == theirs.seed
    same_code = ours.facts.get("git") == theirs.facts.get("git")
    if not differing and ours.checkpoint == theirs.checkpoint and same_config and same_code:
        raise UserError(
            f"{ours.name} and {theirs.name} are one network under two names: the same config, the same code, and the "
            f"same bits in all {count} tensors of {files[0].name}."
        )
    pair.same_bits = not differing
    if same_config and differing:
        named = ", ".join(differing[:MAX_NAMED]) + (", …" if len(differing) > MAX_NAMED else "")
        pair.remarks.append(
            f"{pair.letters} have the same config and the same seed, but other bits in {len(differing)} of {count} "
            f"tensors: {named}."
        )


def _file(run: Run, wanted: str) -> Path:
    return run.directory / "checkpoints" / f"{checkpoint_of(run, wanted)}.ckpt"


def _compare_photos(pair: Pair, ours: Run, theirs: Run, plan: Plan) -> None:
    has_test = all(any(name.startswith("test/") for name in run.facts) for run in (ours, theirs))
    pair.split = plan.split or ("test" if has_test else "val")
    try:
        found = [answers(run, checkpoint_of(run, plan.checkpoint), pair.split) for run in (ours, theirs)]
        pair.answers = common(*found)
    except Exception as error:  # whatever foreign parts or missing data raise; the other results stand
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
    right = [[side.is_right for side in answers] for answers in zip(*pair.answers, strict=True)]
    pair.photos = paired_by_photo(right[0], right[1], pair.level)
