import csv
import json
import multiprocessing
import time
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.sweep import table
from engine.sweep.table import NOTES, Row, Sweep, changing, note, one_line, read_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    rows = [Row(number, {"optimizer.lr": 0.1 * number, "seed": 0}, "python train.py") for number in range(3)]
    for row in rows[:2]:
        row.metric, row.mode, row.directory = "val/acc", "max", f"{row.number:03}"
        (tmp_path / row.directory).mkdir()
    return Sweep(tmp_path, ["-m", "seed=0"], "/somewhere", {row.number: row for row in rows})


def end(directory: Path, **content: object) -> None:
    (directory / "metrics.json").write_text(json.dumps(content))


def test_a_row_takes_what_came_of_its_job(sweep: Sweep, tmp_path: Path) -> None:
    figures = {"best/val/acc": 0.9, "val/acc": 0.8, "epochs": 7, "seconds": 1.5}
    end(tmp_path / "000", status="completed", **figures)
    end(tmp_path / "001", status="failed", error="ValueError: no\n  such thing", seconds=0.5)
    for row in sweep.jobs.values():
        row.take(tmp_path)
    done, failed, missing = sweep.jobs.values()
    assert (done.status, done.best, done.final, done.epochs, done.seconds) == ("completed", 0.9, 0.8, 7, 1.5)
    assert (failed.status, failed.error, failed.best) == ("failed", "ValueError: no such thing", None)
    assert (missing.status, missing.directory) == ("missing", None)
    assert sweep.unfinished == [failed, missing]


def test_a_row_follows_its_job_to_stand_in_data_and_forgets_an_old_error(sweep: Sweep, tmp_path: Path) -> None:
    row = sweep.jobs[0]
    row.error = "ValueError: before"
    renamed = (tmp_path / "000").rename(tmp_path / "000_stand-in")
    end(renamed, status="completed", **{"best/val/acc": "nan", "val/acc": 0.5})
    row.take(tmp_path)
    assert (row.directory, row.best, row.final, row.error) == ("000_stand-in", None, 0.5, None)


def test_files_say_the_same(sweep: Sweep, tmp_path: Path) -> None:
    made_of = {"data": {"source": "official"}, "network": {"name": "lite", "substitute_for": "resnet18"}}
    end(tmp_path / "001", status="completed", **{"best/val/acc": 0.25, "val/acc": 0.125}, seconds=2, **made_of)
    sweep.jobs[1].take(tmp_path)
    sweep.write()
    assert read_sweep(tmp_path) == sweep
    with (tmp_path / "sweep.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["number"] for row in written] == ["0", "1", "2"]
    assert [row["optimizer.lr"] for row in written] == ["0.0", "0.1", "0.2"]
    assert written[1] == {
        "number": "1",
        "status": "completed",
        "optimizer.lr": "0.1",
        "seed": "0",
        "metric": "val/acc",
        "best": "0.25",
        "final": "0.125",
        "epochs": "",
        "seconds": "2",
        "directory": "001",
        "error": "",
        "source": "official",
        "network": "lite",
        "substitute_for": "resnet18",
        "command": "python train.py",
    }
    assert not list(tmp_path.glob(".sweep.json*")), "nothing is left of writing"


def add_row(directory: Path, number: int) -> None:
    with changing(directory) as sweep:
        sweep.jobs[number] = Row(number, {"seed": number}, "python train.py")


def test_processes_change_it_one_after_the_other(tmp_path: Path) -> None:
    Sweep(tmp_path).write()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=add_row, args=(tmp_path, number)) for number in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(read_sweep(tmp_path).jobs) == list(range(12))


def test_an_error_while_changing_leaves_the_files(sweep: Sweep, tmp_path: Path) -> None:
    sweep.write()
    before = (tmp_path / "sweep.json").read_bytes()
    with pytest.raises(KeyError), changing(tmp_path) as changed:
        del changed.jobs[0], changed.jobs[99]
    assert (tmp_path / "sweep.json").read_bytes() == before
    with changing(tmp_path) as free:
        assert len(free.jobs) == 3


def test_few_jobs_are_in_the_files_at_once(sweep: Sweep, tmp_path: Path) -> None:
    sweep.write()
    assert note(tmp_path, Row(1, {"seed": 1}, "", "running")) == ["missing", "running", "missing"]
    assert [job["status"] for job in json.loads((tmp_path / "sweep.json").read_text())["jobs"]][1] == "running"
    assert not (tmp_path / NOTES).exists()


def test_notes_count_until_the_files_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SECONDS", 1.0)
    jobs = {number: Row(number, {"seed": number}, "python train.py") for number in range(table.FEW + 1)}
    Sweep(tmp_path, jobs=jobs).write()
    before = (tmp_path / "sweep.json").read_bytes()
    row = Row(1, {"seed": 1}, "python train.py", status="running", directory="001")
    assert note(tmp_path, row)[:3] == ["missing", "running", "missing"]
    assert (tmp_path / "sweep.json").read_bytes() == before, "not for each job"
    with (tmp_path / NOTES).open("a") as file:
        file.write('{"number": 2, "sta')  # killed while writing a line
    assert read_sweep(tmp_path).jobs == jobs | {1: row}
    end = time.monotonic() + 30
    while (tmp_path / NOTES).exists():  # no other note comes
        assert time.monotonic() < end
        time.sleep(0.05)
    assert json.loads((tmp_path / "sweep.json").read_text())["jobs"][1]["status"] == "running"
    assert read_sweep(tmp_path).jobs == jobs | {1: row}


def test_notes_of_a_stranger(sweep: Sweep, tmp_path: Path) -> None:
    sweep.write()
    (tmp_path / NOTES).write_text('{"number": 0, "overrides": {}, "command": "", "directory": "/elsewhere"}\n')
    with pytest.raises(UserError, match="the directory of job 0 is outside"):
        read_sweep(tmp_path)
    (tmp_path / NOTES).write_text('{"number": "x"}\n')
    with pytest.raises(UserError, match="was not written by this project"):
        read_sweep(tmp_path)
    (tmp_path / NOTES).unlink()
    (tmp_path / NOTES).symlink_to(tmp_path / "sweep.json")
    with pytest.raises((UserError, OSError)):
        read_sweep(tmp_path)


def test_one_line() -> None:
    assert one_line("Error:\n\n  two\twords ") == "Error: two words"
    assert one_line("x" * 400) == "x" * 299 + "…"
