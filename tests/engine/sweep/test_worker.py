"""The small parts; whole sweeps, with jobs that are killed, are in tests/test_sweep.py."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.sweep.worker import Stopped, Worker, _clear, _note_end, _settle, stopping


def test_a_job_that_went_over_to_stand_in_data_stays_in_its_directory(tmp_path: Path) -> None:
    before, made = tmp_path / "001_a_stand-in", tmp_path / "001_a"
    for directory in (before, made):
        (directory / ".hydra").mkdir(parents=True)
    assert _settle(made) == before
    assert not made.exists()
    assert _settle(before) == before


def test_a_failed_job_starts_anew_under_its_log(tmp_path: Path) -> None:
    for name in (
        ".hydra/config.yaml",
        "checkpoints/last.ckpt",
        "config.yaml",
        "metrics.json",
        "train.log",
        "events.out",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    _clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hydra", "train.log"]
    assert (tmp_path / ".hydra" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("before", "status", "after"),
    [
        ({}, "failed", "failed"),
        ({"status": "failed", "seed": 1}, "failed", "failed"),
        ({"status": "failed", "seed": 1}, "interrupted", "interrupted"),
        ({"status": "interrupted", "seed": 1}, "failed", "interrupted"),
        ({"status": "completed", "seed": 1}, "interrupted", "completed"),
    ],
)
def test_what_the_run_wrote_itself_is_kept(before: dict[str, Any], status: str, after: str, tmp_path: Path) -> None:
    if before:
        (tmp_path / "metrics.json").write_text(json.dumps(before))
    _note_end(tmp_path, status, "killed by SIGKILL")
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["status"] == after
    assert content.get("seed") == before.get("seed")
    assert ("error" in content) == (not before or before["status"] != after)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_a_sweep_with_their_exit_code(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, stopping():
        signal.raise_signal(number)
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) == before


def test_a_worker_that_is_lost_while_it_looks_at_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "_current", None)
    worker = Worker.current()
    os.kill(worker.process.pid or 0, signal.SIGKILL)
    with pytest.raises(UserError, match=r"was lost \(killed by SIGKILL\): try again"):
        worker.check([], elsewhere=False)


def test_a_thread_gets_no_signals() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def launch() -> None:
        with stopping():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=launch)
    thread.start()
    thread.join()
    assert seen == [before]
