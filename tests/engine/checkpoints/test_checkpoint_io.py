import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.checkpoints.checkpoint_io import AtomicCheckpointIO, load_checkpoint, previous
from engine.checkpoints.continuation import remove_cut_off_writes
from engine.errors import UserError

ROOT = Path(__file__).parents[3]


def save(path: Path, value: int) -> None:
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.full((100,), value)}, "epoch": value}, path)


def test_saved_is_loaded_and_torch_load_reads_it_too(tmp_path: Path) -> None:
    save(tmp_path / "last.ckpt", 1)
    for checkpoint in (load_checkpoint(tmp_path / "last.ckpt"), torch.load(tmp_path / "last.ckpt", weights_only=True)):
        assert checkpoint["epoch"] == 1
        assert torch.equal(checkpoint["state_dict"]["w"], torch.full((100,), 1))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_what_could_not_be_loaded_is_left_out_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layers = torch.nn.Sequential(torch.nn.BatchNorm1d(2)).state_dict()
    content = {
        "state_dict": layers,
        "callbacks": {"Mine": {"best": np.float64(0.5), "frame": np.zeros(2), "paths": [Path("a")], "kept": [1, (2,)]}},
        "lr_schedulers": [{"lr_lambdas": [None, {"rate": 2, "loss": torch.nn.MSELoss()}]}],
        "hyper_parameters": {"loss": torch.nn.MSELoss(), "lr": 0.1},
    }
    writer = AtomicCheckpointIO()
    for name in ("1.ckpt", "2.ckpt"):
        writer.save_checkpoint(content, tmp_path / name)
    assert [r.message for r in caplog.records] == [
        "Left out of checkpoints, which only hold tensors and plain values: callbacks.Mine.frame (ndarray), "
        "callbacks.Mine.paths (list), lr_schedulers.0.lr_lambdas.1.loss (MSELoss)."
    ]
    loaded = load_checkpoint(tmp_path / "2.ckpt")
    assert loaded["callbacks"] == {"Mine": {"best": 0.5, "kept": [1, (2,)]}}
    assert loaded["hyper_parameters"] == {"lr": 0.1}
    assert loaded["lr_schedulers"] == [{"lr_lambdas": [None, {"rate": 2}]}]
    assert loaded["state_dict"]._metadata == layers._metadata, "torch finds the versions of layers there"
    with pytest.raises(UserError, match=r"and not state_dict\.0\._extra_state \(MSELoss\)\.$"):
        writer.save_checkpoint({"state_dict": {"0._extra_state": torch.nn.MSELoss()}}, tmp_path / "3.ckpt")


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save(path, 1)
    save(path, 2)
    assert (load_checkpoint(path)["epoch"], load_checkpoint(previous(path))["epoch"]) == (2, 1)


@pytest.mark.parametrize("trials", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_truncation_and_flipped_bit_is_detected(
    trials: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, draw = tmp_path / "last.ckpt", random.Random(0)
    save(path, 1)
    save(path, 2)
    whole = path.read_bytes()
    for trial in range(trials):
        damaged = bytearray(whole)
        if trial % 2:
            del damaged[draw.randrange(len(whole)) :]
        else:
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        caplog.clear()
        assert load_checkpoint(path)["epoch"] == 1
        assert "continuing from last.ckpt.prev" in caplog.text


def test_no_whole_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"last\.ckpt is damaged or missing, and so is last\.ckpt\.prev"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_a_full_disk_leaves_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    save(path, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, 2)
    assert load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


SAVE_FOREVER = """
import sys, torch
from pathlib import Path
from engine.checkpoints.checkpoint_io import AtomicCheckpointIO
for epoch in range(10**9):
    AtomicCheckpointIO().save_checkpoint({"epoch": epoch, "w": torch.full((50_000,), epoch)}, Path(sys.argv[1]))
    print(epoch, flush=True)
"""


def test_a_killed_save_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    command = [sys.executable, "-c", SAVE_FOREVER, str(path)]
    for delay in (0.0, 0.013):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        done = [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        checkpoint = load_checkpoint(path)
        assert checkpoint["epoch"] >= (done[-1] if done else 0)
        assert (checkpoint["w"] == checkpoint["epoch"]).all()


def save_forever(path: Path) -> None:
    for epoch in range(1, 10**9):
        checkpoint = {"curves": {}, "epoch": epoch, "w": torch.full((500_000,), epoch)}
        AtomicCheckpointIO().save_checkpoint(checkpoint, path)


@pytest.mark.slow
def test_two_hundred_killed_saves_leave_whole_files_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folder for temporary files in another file system, where Lightning stages its checkpoints."""
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    path, draw, epoch = tmp_path / "checkpoints" / "last.ckpt", random.Random(0), 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    before = set(Path("/dev/shm").iterdir())
    for _ in range(200):
        process = context.Process(target=save_forever, args=(path,))
        process.start()
        process.join(draw.uniform(0.2, 0.5))
        process.kill()
        process.join()
        if path.exists():
            found = load_checkpoint(path)
            epoch = found["epoch"]
            assert (found["w"] == epoch).all()
            remove_cut_off_writes(tmp_path)
            assert {file.name for file in path.parent.iterdir()} <= {"last.ckpt", "last.ckpt.prev"}
    assert epoch > 1
    left = {path.name for path in set(Path("/dev/shm").iterdir()) - before}
    assert {name for name in left if "wandb" not in name} == set()  # timm imports that one, which makes folders at once
