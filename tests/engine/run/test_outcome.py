import json
import os
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.outcome import FILE, outcome, write_outcome


def test_outcome(tmp_path: Path) -> None:
    assert outcome(tmp_path) == {}
    write_outcome(tmp_path, {"status": "failed", "error": "killed by SIGKILL"})
    assert outcome(tmp_path) == json.loads((tmp_path / "metrics.json").read_text())
    assert outcome(tmp_path)["error"] == "killed by SIGKILL"


def test_epochs_count_from_1_in_files_of_any_age(tmp_path: Path) -> None:
    write_outcome(tmp_path, {"status": "completed", "best/epoch": 0})  # as earlier runs have it
    assert outcome(tmp_path)["best/epoch"] == 1
    write_outcome(tmp_path, outcome(tmp_path))  # as a sweep does, with its own keys
    assert outcome(tmp_path)["best/epoch"] == 1
    write_outcome(tmp_path, {"status": "completed", "best/epoch": None})
    assert outcome(tmp_path)["best/epoch"] is None


@pytest.mark.parametrize("text", ["", "{", '{"status": "comp', "\0\0\0", "no JSON"])
def test_a_file_that_was_cut_off_counts_as_absent(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    assert outcome(tmp_path) == {}


@pytest.mark.parametrize(
    "text", ["[]", "1", "null", '{"status": "x"}', '{"seconds": "x"}', '{"data": [1]}', "[" * 99999]
)
def test_another_form_counts_as_absent(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    assert outcome(tmp_path) == {}


def test_only_a_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(UserError, match="not a regular file"):
        outcome(tmp_path)
