import multiprocessing
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.features.feature_cache import cached_arrays, names_digest

KEY = {"weights": "abc", "views": 2}
SHAPES = {"train": (4, 2, 3), "val": (2, 1, 3)}
VALUES = {name: torch.arange(np.prod(shape)).reshape(shape).float() for name, shape in SHAPES.items()}


class Compute:
    """Fills in VALUES and leaves a line in a file, so that calls are counted over processes as well."""

    def __init__(self, folder: Path, seconds: float = 0) -> None:
        self.log = folder / "calls"
        self.seconds = seconds

    def __call__(self, arrays: dict[str, Tensor]) -> None:
        with self.log.open("a") as file:
            file.write("call\n")
        time.sleep(self.seconds)
        for name, array in arrays.items():
            array.copy_(VALUES[name])

    @property
    def calls(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def compute(tmp_path: Path) -> Compute:
    return Compute(tmp_path)


def cached(tmp_path: Path, compute: Callable[[dict[str, Tensor]], None], **changes: object) -> dict[str, Tensor]:
    return cached_arrays(tmp_path / "features", {**KEY, **changes}, SHAPES, compute)


def is_right(arrays: dict[str, Tensor]) -> bool:
    return arrays.keys() == VALUES.keys() and all(torch.equal(arrays[name], VALUES[name]) for name in VALUES)


def entry(tmp_path: Path) -> Path:
    (folder,) = (path for path in (tmp_path / "features").iterdir() if path.is_dir())
    return folder


def test_computed_once(tmp_path: Path, compute: Compute) -> None:
    assert is_right(cached(tmp_path, compute))
    assert is_right(cached(tmp_path, compute))
    assert compute.calls == 1


def test_another_key_is_another_entry(tmp_path: Path, compute: Compute) -> None:
    cached(tmp_path, compute)
    cached(tmp_path, compute, views=3)
    cached(tmp_path, compute, extra=None)
    assert compute.calls == 3
    assert len([path for path in (tmp_path / "features").iterdir() if path.is_dir()]) == 3


def test_what_a_caller_changes_stays_with_it(tmp_path: Path, compute: Compute) -> None:
    cached(tmp_path, compute)["train"].zero_()
    assert is_right(cached(tmp_path, compute))
    assert compute.calls == 1


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "train.npy").read_bytes())
    content[-3] ^= 1
    (folder / "train.npy").write_bytes(content)


def cut_short(folder: Path) -> None:
    content = (folder / "val.npy").read_bytes()
    (folder / "val.npy").write_bytes(content[:-4])


def empty_key(folder: Path) -> None:
    (folder / "key.json").write_text("")


def odd_key(folder: Path) -> None:
    (folder / "key.json").write_text("[]")


def no_key(folder: Path) -> None:
    (folder / "key.json").unlink()


def no_array(folder: Path) -> None:
    (folder / "train.npy").unlink()


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, empty_key, odd_key, no_key, no_array])
def test_damaged_entry_is_computed_again(
    damage: Callable[[Path], None], tmp_path: Path, compute: Compute, caplog: pytest.LogCaptureFixture
) -> None:
    cached(tmp_path, compute)
    damage(entry(tmp_path))
    assert is_right(cached(tmp_path, compute))
    assert compute.calls == 2
    assert "are damaged" in caplog.text
    assert is_right(cached(tmp_path, compute))
    assert compute.calls == 2


def test_nothing_is_left_of_a_computation_that_fails(tmp_path: Path, compute: Compute) -> None:
    def fail(arrays: dict[str, Tensor]) -> None:
        arrays["train"].fill_(7)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cached(tmp_path, fail)
    assert not [path for path in (tmp_path / "features").iterdir() if path.is_dir()]
    assert is_right(cached(tmp_path, compute))


def test_what_a_killed_process_left_is_cleared(tmp_path: Path, compute: Compute) -> None:
    cached(tmp_path, compute)
    folder = entry(tmp_path)
    folder.rename(folder.with_name(f".{folder.name}.partial"))
    flip_a_bit(folder.with_name(f".{folder.name}.partial"))
    assert is_right(cached(tmp_path, compute))
    assert compute.calls == 2
    assert entry(tmp_path) == folder


def in_processes(number: int, target: Callable[[], object]) -> list[int | None]:
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: forking beside threads
        processes = [context.Process(target=target) for _ in range(number)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
    return [process.exitcode for process in processes]


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_that_ask_at_once_compute_once(damaged: bool, tmp_path: Path) -> None:
    if damaged:
        cached(tmp_path, Compute(tmp_path))
        flip_a_bit(entry(tmp_path))
        (tmp_path / "calls").unlink()
    compute = Compute(tmp_path, seconds=0.3)

    def ask() -> None:
        assert is_right(cached(tmp_path, compute))

    assert in_processes(4, ask) == [0] * 4
    assert compute.calls == 1


def test_room_is_taken_before_the_first_feature(tmp_path: Path) -> None:
    """Otherwise a full disk would end the process with a bus error."""
    taken: dict[str, int] = {}

    def look(arrays: dict[str, Tensor]) -> None:
        for file in tmp_path.rglob("*.npy"):
            taken[file.stem] = file.stat().st_blocks * 512

    shapes = {"train": (1000, 1, 512), "val": (10, 1, 512)}
    cached_arrays(tmp_path, KEY, shapes, look)
    assert taken["train"] >= 1000 * 512 * 4
    assert taken["val"] >= 10 * 512 * 4


def test_digest_of_names_depends_on_their_order() -> None:
    files = [Path("a/b"), Path("a/c")]
    assert names_digest(files, Path("a")) == names_digest([Path("x/b"), Path("x/c")], Path("x"))
    assert names_digest(files, Path("a")) != names_digest(files[::-1], Path("a"))
    assert names_digest(files, Path("a")) != names_digest(files, Path())
