import time
from pathlib import Path

import pytest
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.summary.writer import event_file_writer

from engine.checkpoints.continuation import Curves, curve_sizes, open_behind, remove_cut_off_writes

SIZES = {"events.out.tfevents.0": 100, "events.out.tfevents.1": 150, "csv/metrics.csv": 10}
"""How far the checkpoint says the curves were written; the last file was opened after it."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "csv").mkdir()
    for name, size in (*SIZES.items(), ("events.out.tfevents.2", 300)):
        (tmp_path / name).write_bytes(bytes(range(10)) * (size // 10 + 5))
    return tmp_path


def contents(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in curve_sizes(directory)}


def test_curves_end_where_the_checkpoint_has_them(directory: Path) -> None:
    Curves(directory, SIZES)
    assert curve_sizes(directory) == SIZES


def test_a_run_without_a_checkpoint_has_no_curves(directory: Path) -> None:
    Curves(directory, {})
    assert curve_sizes(directory) == {}


def test_undone_they_are_as_they_were(directory: Path) -> None:
    before = contents(directory)
    curves = Curves(directory, SIZES)
    with (directory / "events.out.tfevents.0").open("ab") as file:
        file.write(b"of a run that failed before it saved")
    (directory / "events.out.tfevents.9").write_bytes(b"likewise")
    curves.undo()
    assert contents(directory) == before


def test_cut_off_writes_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("last.ckpt", "last.ckpt.prev", ".last.ckpt.12ab.partial", ".last.ckpt.prev.12ab.partial"):
        (folder / name).write_bytes(b"x")
    remove_cut_off_writes(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "last.ckpt.prev"]


def test_curves_go_on_behind_the_earlier_ones_where_the_clock_went_back(tmp_path: Path) -> None:
    later = int(time.time()) + 3600
    (tmp_path / f"events.out.tfevents.{later}.host.1.0").touch()
    (tmp_path / "events.out.tfevents.odd.host.1.0").touch()
    logger = TensorBoardLogger(save_dir=str(tmp_path), name="", version="")
    open_behind([logger])
    logger.log_metrics({"x": 1.0}, step=1)
    logger.finalize("success")
    names = sorted(path.name for path in tmp_path.glob("events.out.tfevents.[0-9]*"))
    assert names[0].startswith(f"events.out.tfevents.{later}.")
    assert names[1].startswith(f"events.out.tfevents.{later + 1}.")
    assert len(names) == 2
    assert event_file_writer.time is time
