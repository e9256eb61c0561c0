"""Every result that the documentation and the experiments' headers state is on record in docs/figures.yaml."""

import re
from pathlib import Path

import pytest

from docs import figures
from docs.figures import disagreements, load, measured, percent, told, with_result
from tests.conftest import ROOT

TOLD = ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
NUMBER = re.compile(r"(?<![\w.=-])\d+\.\d+(?![\w.])|(?<![\w.=-])\d+(?= ?%)")
"""A decimal number, or one of percent: what a measurement gives."""


NO_RESULTS = {"3.10", "95", "0.2"}
"""A version of Python, the level of all intervals, a default."""


def prose(file: str) -> str:
    """A page without code."""
    text = re.sub(r"```.*?```", "", (ROOT / file).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|arXiv [\d.]+", "", text)


def on_record() -> set[str]:
    content = load()
    rows = content["figures"]
    said = [told(row["header"], name, rows) for name, row in rows.items() if "header" in row]
    said += [told(template, None, rows) for template in content["readme"].values()]
    found = {number for text in said for number in NUMBER.findall(text)}
    return found | {str(number) for other in content["others"] for number in other["numbers"]}


def test_files_say_what_is_on_record() -> None:
    """Else: `python -m docs.figures --texts`."""
    assert {path for path, text in figures.texts().items() if path.read_text(encoding="utf-8") != text} == set()


@pytest.mark.parametrize("file", TOLD)
def test_no_number_is_off_the_record(file: str) -> None:
    assert set(NUMBER.findall(prose(file))) - on_record() - NO_RESULTS == set()


def test_no_header_has_a_result_of_its_own() -> None:
    rows = load()["figures"]
    for path in (ROOT / "conf" / "experiment").glob("*.yaml"):
        (result,) = re.findall(r"# Result: (.*\n(?:#  +.*\n)*)", path.read_text(encoding="utf-8"))
        assert path.stem in rows or set(NUMBER.findall(result)) <= on_record() | NO_RESULTS, path


def test_every_record_is_whole() -> None:
    for name, row in load()["figures"].items():
        assert row.keys() >= {"command", "values", "seconds", "machine", "commit", "digest"}, name
        assert row["command"].startswith("python train.py experiment="), name
        assert len({len(values) for values in row["values"].values()}) == 1, name
        assert all(0 <= value <= 1 for values in row["values"].values() for value in values), name
    for other in load()["others"]:
        assert other.keys() >= {"command", "runs", "machine", "numbers"}, other


def test_how_numbers_are_told() -> None:
    assert percent([0.95, 0.96, 0.97]) == "96.0 ± 1.0 %"
    assert percent([0.95, 0.95, 0.95]) == "95.0 % in all"
    assert percent([0.95, 0.96]) == "95.0, 96.0 %"
    assert percent([0.95, 0.96, 0.97], "mean") == "96.0 %"
    rows = {"a": {"values": {"val/acc": [0.5, 0.6, 0.7]}}, "b": {"values": {"val/acc": [0.25]}}}
    assert told("{val/acc mean} of {n}, {b val/acc} without", "a", rows) == "60.0 % of 3, 25.0 % without"


def test_a_header_keeps_all_but_its_result() -> None:
    header = "# Command:  this\n# Result:   old\n#           and older\n# Differs: no\na: 1\n"
    assert with_result(header, "that", "new") == "# Command:  that\n# Result:   new\n# Differs: no\na: 1\n"


@pytest.mark.parametrize(
    ("now", "disagrees"),
    [([0.95, 0.96, 0.97], False), ([0.955, 0.965, 0.96], False), ([0.9, 0.91, 0.905], True), ([0.9], True)],
)
def test_what_cannot_be_chance(now: list[float], disagrees: bool) -> None:
    before = {"digest": "a", "values": {"val/acc": [0.95, 0.96, 0.97]}}
    assert bool(disagreements(before, {"digest": "b", "values": {"val/acc": now}})) == disagrees
    assert disagreements(before, {"digest": "a", "values": {"val/acc": now}}) == [], "the same bits"


def test_a_record_is_measured_again_to_the_bit(tmp_path: Path) -> None:
    command = "python train.py experiment=lenet_nll trainer=cpu trainer.max_epochs=1 trainer.limit_train_batches=3"
    row = {"command": command, "values": {"test/acc": [0.0, 0.0]}, "digest": ""}
    (tmp_path / "again").mkdir()
    first, second = (measured(row, tmp_path, folder) for folder in (tmp_path, tmp_path / "again"))
    assert len(first["values"]["test/acc"]) == 2
    assert first["values"] == second["values"]
    assert first["digest"] == second["digest"]
    assert disagreements(first, second) == []
