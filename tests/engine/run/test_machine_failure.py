"""Lack of memory, lost workers and faults of disks, as torch, NumPy and the operating system really report them."""

import errno
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_sharer
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from datamodules.regression import Regression
from engine.paths import command
from engine.run.failure import sentence
from tests.engine.run.raising import raised, reject

HUGE = 10**15  # bytes: more than an address has room for, so no machine gives them, however it overcommits


class Failing(Dataset[int]):
    """Calls `fail` for each item, in whichever process reads it."""

    def __init__(self, fail: Callable[[], Any]) -> None:
        self.fail = fail

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return self.fail() or index


class HangingUp(Dataset[int]):
    """Closes the socket of the previous batch, at its turn, before that batch has been fetched."""

    def __init__(self, turn: Barrier) -> None:
        self.turn = turn

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        if index == 1:
            self.turn.wait()
            resource_sharer.stop()
            self.turn.wait()
            self.turn.wait()
        return index


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def allocate() -> None:
    torch.empty(HUGE, dtype=torch.uint8)


def allocate_an_array() -> None:
    np.empty(HUGE, dtype=np.uint8)


def handed_on(act: Callable[[], Any]) -> BaseException:
    """What a worker process raised, as the DataLoader raises it once more."""
    try:
        act()
    except Exception:
        wrapper = ExceptionWrapper(where="in DataLoader worker process 0")
    return raised(wrapper.reraise)


def read_by_a_worker(dataset: Dataset[int]) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: forking beside threads
        return iter(DataLoader(dataset, num_workers=1, multiprocessing_context="fork"))


def raised_by_a_loader(fail: Callable[[], Any]) -> BaseException:
    return raised(lambda: list(read_by_a_worker(Failing(fail))))


def test_memory_of_the_machine(cfg: DictConfig) -> None:
    for act in (allocate, allocate_an_array, lambda: bytearray(HUGE)):
        told = sentence(raised(act), cfg)
        assert told is not None, act
        assert told.startswith("The machine is out of memory")
        assert "datamodule.batch_size (now 128), datamodule.eval_batch_size (now 500) or datamodule.num_workers" in told
    assert "trying to allocate 1000000000000000 bytes" in str(sentence(raised(allocate), cfg))


def test_memory_of_the_machine_in_a_datamodule(cfg: DictConfig) -> None:
    settings = {"d_in": 1, "d_out": 1, "steps_per_epoch": 1, "chunk": 1, "seed": 0, "batch_size": HUGE}
    node = {"_target_": f"{Regression.__module__}.Regression", **settings}
    assert str(sentence(raised(lambda: instantiate(node)), cfg)).startswith("The machine is out of memory")


def test_memory_of_the_machine_in_a_worker(cfg: DictConfig) -> None:
    for act in (allocate, allocate_an_array):
        told = str(sentence(handed_on(act), cfg))
        assert told.startswith("The machine is out of memory")
        assert "\n" not in told


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.2 GiB "
            "is free. Of the allocated memory 70.00 GiB is allocated by PyTorch, and 1.00 GiB is reserved"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    ],
)
def test_memory_of_the_gpu(error: Exception, cfg: DictConfig) -> None:
    told = str(sentence(error, cfg))
    assert told.startswith("The GPU is out of memory")
    assert told.endswith(": lower datamodule.batch_size (now 128) or datamodule.eval_batch_size (now 500).")
    assert ("trying to allocate 2.50 GiB" in told) == ("2.50" in str(error))


def test_without_a_config_the_settings_are_named(cfg: DictConfig) -> None:
    assert "lower datamodule.batch_size, datamodule.eval_batch_size" in str(sentence(MemoryError()))


def test_a_killed_worker_is_called_that(cfg: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Once a test has trained in this process, Lightning has removed torch's handler, and torch would not set it again.
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    told = str(sentence(raised_by_a_loader(die), cfg))
    assert told.startswith("A worker process that reads the data (pid ")
    assert "was killed by the signal 'Killed'" in told
    assert "lower datamodule.num_workers (now 2) or datamodule.batch_size (now 128)" in told


def test_a_worker_that_is_gone_is_told(cfg: DictConfig) -> None:
    told = str(sentence(raised_by_a_loader(leave), cfg))
    assert told.startswith("A worker process that reads the data (pid ")
    assert "exited without an error message" in told


def test_a_worker_that_vanishes_amid_a_batch_is_told(cfg: DictConfig) -> None:
    """As when it dies a moment before the system says so: a batch waits, and nobody hands it over."""
    turn = multiprocessing.get_context("fork").Barrier(2, timeout=60)
    batches = read_by_a_worker(HangingUp(turn))
    while batches._data_queue.empty():  # type: ignore[attr-defined]
        time.sleep(0.01)
    turn.wait()
    turn.wait()
    error = raised(lambda: next(batches))
    turn.wait()
    assert isinstance(error, OSError)
    told = str(sentence(error, cfg))
    assert told.startswith(
        "A worker process that reads the data exited without an error message: usually for lack of memory, so "
    )
    assert "worker process" not in str(sentence(OSError(errno.EIO, "of another place")))


def test_data_at_fault_in_a_worker_is_told_in_one_sentence() -> None:
    assert sentence(handed_on(reject)) == "photo.jpg is no image: remove it."


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit.",
            "make it larger, or lower datamodule.num_workers (now 2)",
        ),
        (
            "unable to write to file </torch_1_2_3>: No space left on device (28)",
            "lower datamodule.num_workers (now 2)",
        ),
    ],
)
def test_shared_memory_is_called_that(text: str, advice: str, cfg: DictConfig) -> None:
    told = str(sentence(RuntimeError(text), cfg))
    assert "hared memory (/dev/shm)" in told
    assert advice in told


def test_a_full_disk_is_called_that_with_the_file_and_how_to_go_on(cfg: DictConfig, tmp_path: Path) -> None:
    error = raised(lambda: Path("/dev/full").write_text("something"))
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    assert (
        sentence(error, cfg)
        == f"A file in {tmp_path} cannot be written (No space left on device): free space on that disk."
    )
    error.filename = "last.ckpt"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    told = str(sentence(error, cfg))
    assert told.startswith("last.ckpt cannot be written (No space left on device)")
    assert told.endswith(f", then continue with `{command('train.py')} resume={tmp_path}`.")


def test_a_place_that_cannot_be_used_is_named(cfg: DictConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = str(sentence(raised(lambda: (tmp_path / "file" / "x").write_text("")), cfg))
    assert told.startswith(f"{tmp_path}/file/x cannot be used (Not a directory): fix its permissions, or use")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOSPC])
def test_faults_of_disks_are_one_sentence(number: int) -> None:
    told = sentence(OSError(number, os.strerror(number), "/a/file"))
    assert told is not None
    assert len(told.splitlines()) == 1
    assert "Too many files" in told if number in (errno.EMFILE, errno.ENFILE) else "/a/file" in told
