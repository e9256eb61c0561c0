import csv
import json
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.results.prediction_files import prediction_file

ROWS = [(Path("a,b\n'c'.jpg"), "ants", [0.75, 0.25]), (Path("ü.jpg"), "bees", [1e-9, 0.999999999])]


def write(path: Path) -> None:
    with prediction_file(path, ["ants", "bees"]) as write_row:
        for row in ROWS:
            write_row(*row)


def test_csv(tmp_path: Path) -> None:
    write(tmp_path / "new" / "x.csv")
    with (tmp_path / "new" / "x.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(Path(row["path"]), row["class"]) for row in rows] == [row[:2] for row in ROWS]
    for row, (_, _, probabilities) in zip(rows, ROWS, strict=True):
        assert [float(row["p_ants"]), float(row["p_bees"])] == pytest.approx(probabilities, rel=1e-5)
    assert len(rows[0]) == 4


def test_json_lines(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl")
    lines = (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()
    for line, (path, label, probabilities) in zip(lines, ROWS, strict=True):
        row = json.loads(line)
        assert (Path(row["path"]), row["class"]) == (path, label)
        assert row["probabilities"] == pytest.approx(dict(zip(["ants", "bees"], probabilities, strict=True)), rel=1e-5)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_name_that_is_no_text_keeps_its_bytes(suffix: str, tmp_path: Path) -> None:
    name = b"photo\xff.jpg".decode(errors="surrogateescape")
    with prediction_file(tmp_path / f"x{suffix}", ["a"]) as write_row:
        write_row(Path(name), "a", [1.0])
    content = (tmp_path / f"x{suffix}").read_bytes()
    assert b"photo\xff.jpg" in content


def test_what_breaks_off_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("before")
    with pytest.raises(TypeError), prediction_file(path, ["a"]) as write_row:
        write_row(Path("a.jpg"), "a", None)  # type: ignore[arg-type]
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


def test_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^output=.*x\.xls: give a file that ends in \.csv or \.jsonl\.$"):
        write(tmp_path / "x.xls")
