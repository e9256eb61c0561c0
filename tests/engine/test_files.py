from pathlib import Path

import pytest

from engine.errors import DataError
from engine.files import new_folder


def write(folder: Path) -> None:
    (folder / "a").write_text("new")


def test_folder_is_filled_once(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "set"
    assert new_folder(target, write) == target
    (target / "a").write_text("kept")
    new_folder(target, write)
    assert (target / "a").read_text() == "kept"


def test_folder_that_is_there_needs_no_lock(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / ".set.lock").mkdir()  # no file can take its place, as in a folder that is read-only
    assert new_folder(tmp_path / "set", write) == tmp_path / "set"
    (tmp_path / "set").rmdir()
    with pytest.raises(DataError, match="cannot be written"):
        new_folder(tmp_path / "set", write)


def test_folder_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    def write_and_look(folder: Path) -> None:
        write(folder)
        assert not (tmp_path / "set").exists()

    new_folder(tmp_path / "set", write_and_look)
    assert (tmp_path / "set" / "a").exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise error

    with pytest.raises(error):
        new_folder(tmp_path / "set", fail)
    assert [path for path in tmp_path.rglob("*") if not path.name.endswith(".lock")] == []


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    remains: list[Path] = []

    class KilledError(BaseException):
        pass

    def interrupted(folder: Path) -> None:
        remains.append(folder)
        raise KilledError

    with pytest.raises(KilledError):
        new_folder(tmp_path / "set", interrupted)
    remains[0].mkdir()  # as a process that was killed could not remove it
    (remains[0] / "half").write_text("")
    new_folder(tmp_path / "set", write)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["a"]


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/set cannot be written"):
        new_folder(tmp_path / "file" / "set", write)
