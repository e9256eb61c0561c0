"""Two processes on the CPU, over gloo."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from pytorch_lightning.strategies import FSDPStrategy

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.pages.curves import read_logged
from tests.conftest import ROOT, Compose, RunTrain, Train, metrics_of, only_run
from tests.killing import differences

TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


@pytest.fixture(scope="module")
def uneven(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data_dir with one validation photo fewer, so that two processes validate 6 and 5 of them."""
    root = tmp_path_factory.mktemp("uneven")
    shutil.copytree(data_dir / "hymenoptera_data", root / "hymenoptera_data")
    (root / "hymenoptera_data" / "val" / "bees" / "0003.jpg").unlink()
    return root


def same(directory: Path, alone: Path, *names: str) -> None:
    """Both runs completed, with these metrics equal, and with equal trained weights."""
    metrics, expected = metrics_of(directory), metrics_of(alone)
    assert metrics["status"] == expected["status"] == "completed"
    for name in names:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-4), name
    states = [torch.load(d / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for d in (directory, alone)]
    assert states[0].keys() == states[1].keys()
    torch.testing.assert_close(states[0], states[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cache", ["true", "false"])
def test_two_processes_train_as_one_with_twice_the_batch(
    cache: str, run_train: RunTrain, train_here: Train, uneven: Path, tmp_path: Path
) -> None:
    """Gradients are averaged, so that two shares of 4 are a batch of 8."""
    shared = [
        "datamodule.image_size=64",
        "datamodule.num_workers=0",
        f"datamodule.data_dir={uneven}",
        f"cache={cache}",
    ]
    shared += ["network=timm", "network.name=test_resnet", "network.pretrained=false", "trainer.max_epochs=2"]
    shared += ["trainer.log_every_n_steps=1", "features.precision=32", "optimizer.lr=0.01"]
    done = run_train(*shared, *TWO, "datamodule.batch_size=4", cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    directory = only_run(tmp_path)
    (tmp_path / "alone").mkdir()
    alone = train_here(tmp_path / "alone", *shared, "trainer=cpu", "datamodule.batch_size=8")

    names = ("train/loss", "train/acc", "val/loss", "val/acc", "val/acc_ants", "best/val/acc", "best/epoch", "epochs")
    same(directory, alone, *names)
    assert done.stdout.count("parameters trained") == 1, "only the first process speaks"
    assert len(list(directory.glob("events.out.tfevents.*"))) == 1
    assert len(read_logged(directory).curves["val/acc"]) == 2
    if cache == "true":
        noted = [json.loads(file.read_text())["sha256"] for file in tmp_path.glob("**/features/*/key.json")]
        keys = {tuple(sums["val"]) for sums in noted if "val" in sums}  # beside them lie the thumbnails
        assert len(keys) == 1, "computed in shares, the features are those of one process"
        assert not list(tmp_path.glob("**/features/*.shares"))


def test_images_in_memory_are_shared_out(run_train: RunTrain, train_here: Train, tmp_path: Path) -> None:
    """Uneven validation and test splits; without a last training batch, whose shares two processes would fill up."""
    shared = ["experiment=lenet_nll", "datamodule.val_size=181", "datamodule.test_size=359", "trainer.max_epochs=1"]
    shared += ["datamodule.drop_last=true", "datamodule.eval_batch_size=50", "optimizer=sgd", "optimizer.lr=0.05"]
    shared += ["trainer.precision=64-true"]  # in single precision, 39 steps amplify the rounding of the sums
    done = run_train(*shared, *TWO, "datamodule.batch_size=16", cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "sync_dist" not in done.stderr, "Lightning warns of metrics that are not synchronized"
    (tmp_path / "alone").mkdir()
    alone = train_here(tmp_path / "alone", *shared, "trainer=cpu", "datamodule.batch_size=32")
    names = ("train/loss", "train/acc", "val/loss", "val/acc", "val/acc_3", "test/loss", "test/acc", "best/val/loss")
    same(only_run(tmp_path), alone, *names)
    assert metrics_of(alone)["val/acc"] > 0.3


def test_processes_of_several_machines_write_one_run(tiny: tuple[str, ...], tmp_path: Path) -> None:
    """Here both are this one; each gets the same command, as a cluster would give it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [*tiny, "network=timm", "network.name=test_resnet", "network.pretrained=false", "trainer.max_epochs=1"]
    settings += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=2"]
    command = [sys.executable, str(ROOT / "train.py"), *settings, "hydra.run.dir=logs/both/run"]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            command, cwd=tmp_path, env={**environment, "NODE_RANK": rank}, stdout=subprocess.PIPE, text=True
        )
        for rank in "01"
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [output.count("parameters trained") for output in outputs] == [1, 0]
    directory = only_run(tmp_path)
    assert metrics_of(directory)["status"] == "completed"
    assert len(list(directory.glob("events.out.tfevents.*"))) == 1


def test_fsdp_is_a_trainer(compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that says it has GPUs; training itself needs them: below."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    cfg = compose("trainer=fsdp", "trainer.num_nodes=3", run_dir=tmp_path)
    trainer = instantiate(cfg.trainer, logger=False)
    assert isinstance(trainer.strategy, FSDPStrategy)
    assert (trainer.num_nodes, trainer.num_devices, trainer.world_size) == (3, 2, 6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_fsdp_trains_as_one_process(train_here: Train, run_train: RunTrain, tmp_path: Path) -> None:
    shared = ["experiment=lenet_nll", "trainer.max_epochs=1", "datamodule.drop_last=true", "trainer.devices=1"]
    done = run_train(*shared, "trainer=fsdp", cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    (tmp_path / "alone").mkdir()
    alone = train_here(tmp_path / "alone", *shared, "trainer=gpu")
    same(only_run(tmp_path), alone, "train/loss", "val/loss", "val/acc", "test/acc")


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp_spawn"])
def test_processes_that_lightning_forks_or_spawns_give_what_ddp_gives(
    strategy: str, run_train: RunTrain, tmp_path: Path
) -> None:
    short = (
        "experiment=lenet_nll",
        "callback=[plain]",
        "logger=csv",
        "trainer.max_epochs=1",
        "datamodule.batch_size=64",
    )
    found = {}
    for name in ("ddp", strategy):
        (tmp_path / name).mkdir()
        processes = ("trainer.accelerator=cpu", "trainer.devices=2", f"trainer.strategy={name}")
        done = run_train(*short, *processes, cwd=tmp_path / name)
        assert done.returncode == 0, done.stderr
        metrics = metrics_of(only_run(tmp_path / name))
        found[name] = {key: metrics[key] for key in ("status", "epochs", "best/val/loss", "best/epoch", "test/loss")}
    assert found[strategy] == found["ddp"]


def test_a_run_of_two_processes_resumes_to_the_same_bits(run_train: RunTrain, tmp_path: Path) -> None:
    short = ("experiment=lenet_nll", "callback=[plain]", "logger=csv", "scheduler=constant", "datamodule.batch_size=64")
    two = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp")
    directories = {}
    for name, first in (("whole", 2), ("resumed", 1)):
        (tmp_path / name).mkdir()
        done = run_train(*short, *two, f"trainer.max_epochs={first}", cwd=tmp_path / name)
        assert done.returncode == 0, done.stderr
        directories[name] = only_run(tmp_path / name)
    done = run_train(f"resume={directories['resumed']}", "trainer.max_epochs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert differences(directories["whole"], directories["resumed"]) == []


def test_two_processes_killed_within_an_epoch_resume_to_the_same_bits(run_train: RunTrain, tmp_path: Path) -> None:
    """Each has the sums of its own share of the epoch."""
    step = "callback.last_checkpoint.every_n_train_steps=3"
    settings = ("experiment=lenet_nll", *TWO, "datamodule.chunk=1", "trainer.max_epochs=1", step)
    assert run_train(*settings, f"hydra.run.dir={tmp_path / 'whole'}", cwd=tmp_path).returncode == 0
    killed = tmp_path / "killed"
    command = [sys.executable, str(ROOT / "train.py"), *settings, f"hydra.run.dir={killed}"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        last = killed / "checkpoints" / "last.ckpt.prev"
        while process.poll() is None and not last.is_file():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert load_checkpoint(killed / "checkpoints" / "last.ckpt")["epoch"] == 0
    done = run_train(f"resume={killed}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert differences(tmp_path / "whole", killed) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are counted in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_other_process_ends_with_the_first(number: int, tmp_path: Path) -> None:
    """Which is stopped, alone, as the other one starts: that would wait for it for half an hour."""
    run = tmp_path / "run"
    command = [sys.executable, str(ROOT / "train.py"), "experiment=lenet_nll", *TWO, f"hydra.run.dir={run}"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and not others(run) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(3)
        process.send_signal(number)
        assert process.wait(60) == (143 if number == signal.SIGTERM else -number)
    deadline = time.monotonic() + 60
    while others(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not others(run)


def others(run: Path) -> list[Path]:
    """The further processes of a training in `run`."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = file.read_bytes()
            found += [file] if b"train_ddp_process" in words and os.fsencode(run) in words else []
    return found
