from pathlib import Path

import pytest

from engine.config import help as module
from engine.config.help import question, train_help
from engine.paths import CONF


def test_every_experiment_with_its_question() -> None:
    lines = train_help().splitlines()
    for file in (CONF / "experiment").glob("*.yaml"):
        (index,) = (index for index, line in enumerate(lines) if line.split()[:1] == [file.stem])
        assert question(file)
        assert " ".join(" ".join(lines[index : index + 2]).split()).startswith(f"{file.stem} {question(file)}")


def test_no_line_is_too_long_for_a_terminal() -> None:
    assert max(map(len, train_help().splitlines())) <= 100


def test_question(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# @package _global_\n# Question:  how far?\n# Command: x\n")
    (tmp_path / "b.yaml").write_text("seed: 1\n")
    assert question(tmp_path / "a.yaml") == "how far?"
    assert question(tmp_path / "b.yaml") == ""


def test_a_new_file_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# Question: why?\n")
    monkeypatch.setattr(module, "CONF", tmp_path)
    assert "  mine  why?" in train_help().splitlines()


def test_every_group_with_its_choices() -> None:
    lines = train_help().splitlines()
    assert "  scheduler: constant, cosine, one_cycle, plateau, step, triangular, warmup_cosine" in lines
    groups = {folder.name for folder in CONF.iterdir() if folder.is_dir()}
    assert groups - {"experiment", "hydra"} <= {line.split(":")[0].strip() for line in lines}
