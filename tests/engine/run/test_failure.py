"""Against what torch, NumPy and the operating system really say."""

import errno
import multiprocessing
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing import resource_sharer
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, callbacks
from pytorch_lightning.demos.boring_classes import BoringModel
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

from datamodules.regression import Regression
from engine.errors import DataError, DivergenceError, UserError, WeightsError
from engine.paths import command
from engine.run.failure import for_the_user, sentence

HUGE = 10**15  # bytes: more than an address has room for, so no machine gives them, however it overcommits


class Failing(Dataset[int]):
    """Fails as it is told, in whatever process reads it."""

    def __init__(self, fail: Callable[[], Any]) -> None:
        self.fail = fail

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return self.fail() or index


class HangingUp(Dataset[int]):
    """Closes, in its turn, the socket over which the batch before has yet to be fetched."""

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


def reject() -> None:
    raise DataError("photo.jpg is no image: remove it.")


def raised(act: Callable[[], Any]) -> BaseException:
    try:
        act()
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


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


@pytest.fixture
def cfg(tmp_path: Path) -> DictConfig:
    settings = {"batch_size": 128, "eval_batch_size": 500, "num_workers": 2, "seed": 0}
    return OmegaConf.create({"run_dir": str(tmp_path), "datamodule": settings})


@pytest.mark.parametrize("error", [DataError("no: data."), WeightsError("no weights."), UserError("a mistake.")])
def test_a_sentence_is_told_as_it_is(error: Exception) -> None:
    assert sentence(error) == str(error)
    with pytest.raises(UserError) as caught, for_the_user():
        raise error
    assert str(caught.value) == str(error)


def test_a_loss_that_is_no_number_is_told() -> None:
    error = DivergenceError(torch.tensor([1.0, float("nan")]), 7, [0.1])
    assert "nan at step 7" in str(sentence(error))


def test_a_single_example_and_batchnorm() -> None:
    error = raised(lambda: torch.nn.BatchNorm1d(3)(torch.zeros(1, 3)))
    assert "BatchNorm cannot normalize: give a datamodule.batch_size" in str(sentence(error))


def test_what_lightning_refuses_amid_a_run_is_one_sentence(tmp_path: Path) -> None:
    trainer = Trainer(accelerator="cpu", max_epochs=1, limit_train_batches=0.1, logger=False, default_root_dir=tmp_path)
    error = raised(lambda: trainer.fit(BoringModel(), DataLoader(torch.zeros(2, 32))))
    told = str(sentence(error))
    assert told.startswith("Lightning refuses this: You requested to check 0.1 of the `train_dataloader`")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("raise_", "says"),
    [
        (lambda: __import__("no_such_package.part"), "There is no module no_such_package: install the package that"),
        (lambda: __import__("torch.no_such_part"), "None"),  # a bug
        (lambda: require_psutil(), "`X` needs `psutil`. HINT: pip install psutil"),
        (
            lambda: callbacks.BackboneFinetuning().freeze_before_training(BoringModel()),
            "BackboneFinetuning needs a LightningModule with the attribute backbone; BoringModel has none.",
        ),
        (
            lambda: instantiate({"_target_": "torch.nn.Linear", "in_features": 3}),
            "torch.nn.modules.linear.Linear: Linear.__init__() missing 1 required positional argument: 'out_features'.",
        ),
        (lambda: torch.nn.Linear(3, 4, x=5), "None"),  # type: ignore[call-arg]
        (lambda: connect_at_a_taken_port(), "The training's processes cannot connect ("),
        (lambda: BoringModel().backbone, "None"),  # of the user's own code
        (
            lambda: callbacks.EarlyStopping("val/x", strict=True)._validate_condition_metric({"a": torch.ones(1)}),
            "Early stopping conditioned on metric `val/x` which is not available. Pass in or modify your "
            "`EarlyStopping` callback to use any of the following: `a`",
        ),
    ],
)
def test_what_a_part_lacks(raise_: Callable[[], Any], says: str) -> None:
    assert str(sentence(raised(raise_))).startswith(says)


def connect_at_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        torch.distributed.init_process_group("gloo", address, timeout=timedelta(seconds=20), world_size=2, rank=0)


def require_psutil() -> None:
    raise ModuleNotFoundError("`X` needs `psutil`.\n HINT: pip install psutil")


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    for error in (ValueError("no"), RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("x")):
        assert sentence(error) is None
        with pytest.raises(type(error)), for_the_user():
            raise error


def test_what_a_class_raised_is_told_without_hydras_cover(cfg: DictConfig) -> None:
    target = {"_target_": f"{__name__}.{reject.__name__}"}
    covered = raised(lambda: instantiate({"_target_": "builtins.eval", "_args_": ["1/0"]}))
    assert isinstance(covered, InstantiationException)
    assert sentence(covered) is None
    cover = InstantiationException(str(target))
    cover.__cause__ = DataError("photo.jpg is no image.")
    assert sentence(cover) == "photo.jpg is no image."


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


def test_a_killed_worker_is_called_that(cfg: DictConfig) -> None:
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


def test_a_missing_file_of_the_program_keeps_its_traceback(tmp_path: Path) -> None:
    assert sentence(raised(lambda: (tmp_path / "none").read_text())) is None


def test_what_is_no_exception_goes_through() -> None:
    for stop in (KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(stop)), for_the_user():
            raise stop


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOSPC])
def test_faults_of_disks_are_one_sentence(number: int) -> None:
    told = sentence(OSError(number, os.strerror(number), "/a/file"))
    assert told is not None
    assert len(told.splitlines()) == 1
    assert "Too many files" in told if number in (errno.EMFILE, errno.ENFILE) else "/a/file" in told
