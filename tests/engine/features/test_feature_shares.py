import multiprocessing
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed
from torch import Tensor

from engine.features.feature_cache import entry
from engine.features.feature_shares import arrays_in_shares

KEY = {"weights": "abc"}
SHAPES = {"train": (7, 2, 3), "val": (2, 1, 3)}
VALUES = {name: torch.rand(shape, generator=torch.Generator().manual_seed(0)) for name, shape in SHAPES.items()}


def ask(folder: Path, rank: int) -> dict[str, Tensor]:
    """The arrays; each computed share leaves a line in a file of its process."""

    def compute(arrays: dict[str, Tensor], share: int, num_shares: int) -> None:
        with (folder / f"{rank}.log").open("a") as file:
            file.write(f"{share} of {num_shares}\n")
        for name, array in arrays.items():
            array.copy_(VALUES[name][share::num_shares])

    return arrays_in_shares(folder / "features", KEY, SHAPES, compute)


def in_group(folder: Path, size: int) -> list[int | None]:
    """The exit codes of processes that ask at once."""

    def work(rank: int) -> None:
        meeting = f"file://{folder}/meeting"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
        arrays = ask(folder, rank)
        assert all(torch.equal(arrays[name], VALUES[name]) for name in SHAPES)
        torch.distributed.destroy_process_group()

    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: forking beside threads
        processes = [context.Process(target=work, args=(rank,)) for rank in range(size)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
    return [process.exitcode for process in processes]


def computed(folder: Path) -> dict[str, str]:
    return {file.stem: file.read_text() for file in folder.glob("*.log")}


@pytest.mark.parametrize("size", [2, 3])
def test_each_process_computes_its_share_once(size: int, tmp_path: Path) -> None:
    assert in_group(tmp_path, size) == [0] * size
    assert computed(tmp_path) == {str(rank): f"{rank} of {size}\n" for rank in range(size)}
    assert entry(tmp_path / "features", KEY).is_dir()
    assert not list((tmp_path / "features").glob("*.shares"))
    assert in_group(tmp_path, size) == [0] * size, "the second time they are found"
    assert computed(tmp_path) == {str(rank): f"{rank} of {size}\n" for rank in range(size)}


def test_one_process_finds_what_several_computed_and_the_other_way_round(tmp_path: Path) -> None:
    for folder, first in ((tmp_path / "a", 2), (tmp_path / "b", 1)):
        folder.mkdir()
        if first == 2:
            assert in_group(folder, 2) == [0, 0]
        arrays = ask(folder, 9)
        assert all(torch.equal(arrays[name], VALUES[name]) for name in SHAPES)
        assert in_group(folder, 2) == [0, 0]
    assert computed(tmp_path / "a") == {"0": "0 of 2\n", "1": "1 of 2\n"}
    assert computed(tmp_path / "b") == {"9": "0 of 1\n"}


def test_without_the_others_files_one_computes_their_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the second of two machines with a disk each; here there is no other process at all."""
    group = {"is_available": lambda: True, "is_initialized": lambda: True, "get_rank": lambda: 1}
    group |= {"get_world_size": lambda: 2, "barrier": lambda: None, "broadcast_object_list": lambda found, src: None}
    monkeypatch.setattr("engine.features.feature_shares.torch", SimpleNamespace(distributed=SimpleNamespace(**group)))
    arrays = ask(tmp_path, 1)
    assert all(torch.equal(arrays[name], VALUES[name]) for name in SHAPES)
    assert computed(tmp_path) == {"1": "1 of 2\n0 of 2\n"}
