from pathlib import Path

import pytest

from engine.checkpoints.checkpoint_io import AtomicCheckpointIO, previous
from engine.checkpoints.continuation import continue_from
from engine.errors import UserError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a run with two sessions' curves, of which a third was opened and nothing was saved after."""
    for number, size in enumerate((100, 200, 300)):
        (tmp_path / f"events.out.tfevents.{number}").write_bytes(bytes(size))
    sizes = {"events.out.tfevents.0": 100, "events.out.tfevents.1": 150}
    last = tmp_path / "checkpoints" / "last.ckpt"
    for step in (1, 2):
        AtomicCheckpointIO().save_checkpoint({"curves": sizes if step == 2 else {}}, last)
    last.with_name(".last.ckpt.123").write_bytes(b"cut off")
    last.with_name(".last.ckpt.123.prev").write_bytes(b"cut off")
    return tmp_path


def sizes(directory: Path) -> list[int]:
    return [file.stat().st_size for file in sorted(directory.glob("events.*"))]


def test_curves_end_where_the_checkpoint_has_them(directory: Path) -> None:
    assert continue_from(directory) == directory / "checkpoints" / "last.ckpt"
    assert sizes(directory) == [100, 150]
    assert sorted(file.name for file in (directory / "checkpoints").iterdir()) == ["last.ckpt", "last.ckpt.prev"]


def test_so_they_do_where_the_one_before_takes_the_place_of_a_damaged_one(directory: Path) -> None:
    last = directory / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1])
    assert continue_from(directory) == last
    assert sizes(directory) == []


def test_a_run_without_a_checkpoint_starts_anew(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    last = directory / "checkpoints" / "last.ckpt"
    last.unlink()
    previous(last).unlink()
    assert continue_from(directory) is None
    assert sizes(directory) == []
    assert "has no checkpoint yet" in caplog.text


def test_damaged_ones_are_an_error_and_nothing_is_cut(directory: Path) -> None:
    last = directory / "checkpoints" / "last.ckpt"
    for file in (last, previous(last)):
        file.write_bytes(b"rubbish")
    with pytest.raises(UserError, match="there is no checkpoint to load"):
        continue_from(directory)
    assert sizes(directory) == [100, 200, 300]
