"""The sides of a comparison: runs that differ only in seed and fold form one side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.compare.runs import Run
from engine.config.sweep_job import DONE
from engine.errors import UserError

STAND_IN = "stand-in"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Side:
    """Runs with the same setting, under one letter."""

    letter: str
    runs: Sequence[Run]

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def folds(self) -> int:
        """The number of folds that its runs validate on, in turn; 1 if the data is not divided into folds."""
        return len({run.repeat[1] for run in self.runs})

    def by_repeat(self, name: str) -> dict[Any, float]:
        """The finite values of a metric by seed and fold; of several runs with the same, the newest one counts."""
        found = {run.repeat: run.result(name) for run in sorted(self.runs, key=lambda run: run.when)}
        return {repeat: value for repeat, value in found.items() if value is not None}

    def values(self, group: str, name: str) -> list[str]:
        """The distinct values of a fact, as text."""
        return sorted({str(value) for run in self.runs if (value := fact(run, group, name)) is not None})


def fact(run: Run, group: str, name: str) -> Any:
    if (group, name) == ("data", "source") and run.directory.name.endswith(f"_{STAND_IN}"):
        return STAND_IN  # also if the run has not ended
    return run.fact(group, name) if group else run.facts.get(name)


def sides_of(named: Sequence[Sequence[Run]]) -> tuple[list[Side], list[str]]:
    """Groups runs into sides, and returns them with remarks on what was left out.

    `named` holds the runs of each name on the command line. Runs whose configs differ only in seed and fold form a
    side; if all runs would form a single side, each name becomes one.

    Raises:
        UserError: a run is named twice, or fewer than two sides remain.
    """
    every = [run for runs in named for run in runs]
    places = [(run.directory.resolve(), run.checkpoint) for run in every]
    if twice := next((run for run, place in zip(every, places, strict=True) if places.count(place) > 1), None):
        raise UserError(f"{twice.name} is named twice: it is one run, and would be compared with itself.")
    kept, remarks = _usable(every)
    groups: dict[str, list[Run]] = {}
    for run in kept:
        groups.setdefault(run.setting, []).append(run)
    parts = [*groups.values()]
    if len(parts) < 2:
        parts = [own for runs in named if (own := [run for run in runs if run in kept])]
    if len(parts) < 2:
        raise UserError("There are no two runs left to compare: " + (" ".join(remarks) or "name two."))
    if len(parts) > len(LETTERS):
        raise UserError(
            f"The runs have {len(parts)} different settings, and at most {len(LETTERS)} are compared: name fewer runs, "
            "or choose among them by key=value."
        )
    sides = [Side(letter, runs) for letter, runs in zip(LETTERS, parts, strict=False)]
    repeated = [side.letter for side in sides if len({run.repeat for run in side.runs}) < len(side.runs)]
    if repeated:
        remarks.append(f"{', '.join(repeated)} has several runs with the same seed and fold; the newest counts.")
    return sides, remarks


def _usable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs with a final result, and remarks; of at most two runs, both are kept whatever their status."""
    if len(runs) <= 2:
        return [*runs], [f"{run.name} is {run.status}, not completed." for run in runs if run.status not in DONE]
    kept = [run for run in runs if run.status in DONE]
    left = len(runs) - len(kept)
    return kept, [f"Left out {left} of {len(runs)} runs, which are not completed."] if left else []


def refuse_other_data(sides: Sequence[Side]) -> None:
    """Raises UserError if some runs use stand-in data and others do not."""
    runs = [run for side in sides for run in side.runs]
    drawn = [run for run in runs if fact(run, "data", "source") == STAND_IN]
    real = [run for run in runs if fact(run, "data", "source") not in (STAND_IN, None)]
    if drawn and real:
        raise UserError(
            f"{drawn[0].name} is on stand-in data, which this project drew, and {real[0].name} is on "
            f"{fact(real[0], 'data', 'source')} data ({fact(real[0], 'data', 'name')}): they cannot be compared."
        )


def refuse_one_network(first: Side, second: Side) -> None:
    """Raises UserError if the sides differ only in that one network is a substitute for missing weights."""
    keys = first.first.settings.keys() | second.first.settings.keys()
    ours, theirs = first.first.settings, second.first.settings
    differing = {key for key in keys if ours.get(key) != theirs.get(key)}
    if differing and all(key.startswith("network.substitute") for key in differing):
        wanted = [text for side in (first, second) for text in side.values("network", "substitute_for")]
        raise UserError(
            f"{first.letter} and {second.letter} are one network under two names: "
            f"{', '.join(first.values('network', 'name'))} stands in for {', '.join(wanted)}, whose weights were not "
            "available."
        )
