import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.errors import DataError
from engine.features.feature_cache import entry
from engine.features.feature_shards import PROGRESS, arrays_in_shards

KEY = {"weights": "abc"}
SHAPES = {"train": (300, 2, 3), "val": (70, 1, 3)}
SHARDS = 10 + 3
VALUES = {name: torch.rand(shape, generator=torch.Generator().manual_seed(0)) for name, shape in SHAPES.items()}


def ask(folder: Path, who: int = 0, seconds: float = 0, stop_after: int | None = None) -> dict[str, Tensor]:
    """The arrays; each computed shard adds a line to its process's file; it may kill itself during the next."""
    done = 0

    def compute(name: str, parts: Iterator[range]) -> Iterator[Tensor]:
        nonlocal done
        for rows in parts:
            if done == stop_after:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(seconds)
            with (folder / f"{who}.log").open("a") as file:
                file.write(f"{name} {rows.start}\n")
            done += 1
            yield VALUES[name][rows.start : rows.stop]

    return arrays_in_shards(folder / "features", KEY, SHAPES, compute)


def is_right(arrays: dict[str, Tensor]) -> bool:
    return all(torch.equal(arrays[name], VALUES[name]) for name in SHAPES)


def computed(folder: Path) -> list[str]:
    return [line for file in sorted(folder.glob("*.log")) for line in file.read_text().splitlines()]


def at_once(*works: Callable[[], object]) -> list[int | None]:
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: forking beside threads
        processes = [context.Process(target=work) for work in works]
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
    return [process.exitcode for process in processes]


def test_computed_once_and_read_without_a_copy(tmp_path: Path) -> None:
    assert is_right(ask(tmp_path))
    assert is_right(ask(tmp_path))
    assert len(computed(tmp_path)) == SHARDS
    assert {path.name for path in entry(tmp_path / "features", KEY).iterdir()} == {"key.json", "train.npy", "val.npy"}
    ask(tmp_path)["train"].zero_()
    assert is_right(ask(tmp_path)), "what a caller changes stays with it"


def test_processes_at_once_divide_the_work(tmp_path: Path) -> None:
    def work(who: int) -> Callable[[], object]:
        def run() -> None:
            assert is_right(ask(tmp_path, who, seconds=0.03))

        return run

    assert at_once(*map(work, range(3))) == [0] * 3
    lines = computed(tmp_path)
    assert len(lines) == len(set(lines)) == SHARDS, "no shard is computed twice"
    assert all((tmp_path / f"{who}.log").exists() for who in range(3))
    assert not list((tmp_path / "features").glob("*.shards"))


def test_after_a_kill_only_what_is_missing_is_computed(tmp_path: Path) -> None:
    assert at_once(lambda: ask(tmp_path, stop_after=6)) == [-signal.SIGKILL]
    assert is_right(ask(tmp_path, 1))
    lines = computed(tmp_path)
    assert len(lines) == len(set(lines)) == SHARDS


def test_what_a_killed_process_had_claimed_the_other_computes(tmp_path: Path) -> None:
    def lasting() -> None:
        assert is_right(ask(tmp_path, 1, seconds=0.05))

    assert at_once(lambda: ask(tmp_path, 0, 0.05, stop_after=2), lasting) == [-signal.SIGKILL, 0]
    assert len(computed(tmp_path)) == SHARDS


def test_a_damaged_shard_of_an_unfinished_cache_is_computed_again(tmp_path: Path) -> None:
    at_once(lambda: ask(tmp_path, stop_after=6))
    (aside,) = (tmp_path / "features").glob("*.shards")
    content = bytearray((aside / "train.npy").read_bytes())
    content[200] ^= 1
    (aside / "train.npy").write_bytes(content)
    assert is_right(ask(tmp_path, 1))
    assert len(computed(tmp_path)) == SHARDS + 1


@pytest.mark.parametrize("damage", ["no array", "cut array", "no progress", "long progress", "link", "pipe"])
def test_another_unfinished_cache_is_begun_anew(damage: str, tmp_path: Path) -> None:
    at_once(lambda: ask(tmp_path, stop_after=6))
    (aside,) = (tmp_path / "features").glob("*.shards")
    if damage == "no array":
        (aside / "val.npy").unlink()
    elif damage == "cut array":
        (aside / "train.npy").write_bytes((aside / "train.npy").read_bytes()[:100])
    elif damage == "no progress":
        (aside / PROGRESS).unlink()
    elif damage == "long progress":
        (aside / PROGRESS).write_bytes(b"1" * 10_000)
    elif damage == "link":
        aside.rename(tmp_path / "elsewhere")
        aside.symlink_to(tmp_path / "elsewhere")
    else:
        (aside / PROGRESS).unlink()
        os.mkfifo(aside / PROGRESS)
    assert is_right(ask(tmp_path, 1))
    assert is_right(ask(tmp_path, 2))
    assert not (tmp_path / "2.log").exists()


def test_damaged_arrays_are_computed_anew(tmp_path: Path) -> None:
    ask(tmp_path)
    file = entry(tmp_path / "features", KEY) / "train.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    assert is_right(ask(tmp_path))
    assert len(computed(tmp_path)) == 2 * SHARDS


def test_of_a_computation_that_fails_nothing_is_left(tmp_path: Path) -> None:
    """Its cause may be a photo, without which the features have another key."""

    def fail(name: str, parts: Iterator[range]) -> Iterator[Tensor]:
        rows = next(parts)
        yield VALUES[name][rows.start : rows.stop]
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        arrays_in_shards(tmp_path, KEY, SHAPES, fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "features").touch()
    with pytest.raises(DataError, match="cannot be written"):
        ask(tmp_path)
