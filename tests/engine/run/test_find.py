"""Runs by their paths, the starts of them, and `last`."""

import os
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.find import find_run

RUNS = ("logs/a/2026-01_1", "logs/a/2026-02_1", "logs/s_sweep/2026-03/000_lr", "logs/s_sweep/2026-03/001_lr")
SWEEP = Path("logs/s_sweep/2026-03")


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of runs; the second one was resumed last."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(RUNS):
        checkpoints = Path(name, "checkpoints")
        checkpoints.mkdir(parents=True)
        for file in (Path(name, "config.yaml"), Path(name, "metrics.json"), checkpoints / "last.ckpt"):
            file.touch()
        os.utime(Path(name, "config.yaml"), (age, age if name != RUNS[1] else 99))
    (SWEEP / "sweep.json").touch()
    Path("logs/a/.hydra").mkdir()
    Path("logs/a/.hydra/config.yaml").touch()
    Path("empty").mkdir()


@pytest.mark.parametrize(
    ("given", "run", "checkpoint"),
    [
        ("last", 1, None),
        ("logs/a/2026-01_1", 0, None),
        ("logs/a/2026-01_1/", 0, None),
        ("logs/a/2026-01", 0, None),
        ("a/2026-02", 1, None),
        ("s_sweep/2026-03/001", 3, None),
        ("logs/a/2026-01_1/checkpoints", 0, None),
        ("logs/a/2026-01_1/checkpoints/last.ckpt", 0, "last"),
        ("logs/a/2026-01_1/metrics.json", 0, None),
    ],
)
def test_a_run_is_found(given: str, run: int, checkpoint: str | None) -> None:
    assert find_run(given) == (Path(RUNS[run]), checkpoint)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (str(SWEEP), r"this is a sweep: choose a job, such as run=logs/s_sweep/2026-03/001_lr\.$"),
        (f"{SWEEP}/sweep.json", r"this is a sweep: choose a job, such as run=logs/s_sweep/2026-03/001_lr\.$"),
        ("logs/a", r"this is a folder of 2 runs: choose one, such as run=logs/a/2026-02_1\.$"),
        ("logs/a/2026", r"2 runs match, logs/a/2026-01_1, logs/a/2026-02_1: give more of the path\.$"),
        ("logs/b/2026-02_1", r"there is no such run; did you mean logs/a/2026-02_1\?$"),
        ("empty", r"there is no config\.yaml; give the directory of a run, logs/<experiment>/<time>\.$"),
        ("a/2026-01*", "there is no such run"),
        ("~nobody", "there is no such run"),
        ("x" * 300, "cannot be read as a path: File name too long"),
    ],
)
def test_what_is_no_run_is_refused_in_a_sentence(given: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        find_run(given)


def test_the_key_is_named_and_no_runs_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError, match=r"^resume=last: there is no run under .*empty/logs\.$"):
        find_run("last", "resume")
