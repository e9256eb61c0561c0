"""Processes that read photos and are stopped (SIGSTOP), not killed: the run ends, by itself or by a second Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.paths import command
from tests.conftest import ROOT
from tests.killing import finish, kill_once_begun, run_directory, start

RUN = (
    *("experiment=transfer_finetune", "network=timm", "network.name=test_resnet", "network.pretrained=false"),
    *("trainer.max_epochs=1000", "scheduler=constant", "callback.last_checkpoint.min_seconds=0"),
)


def children(process: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found.append(int(status.parts[2]))
    return found


def has_saved(directory: Path) -> bool:
    return (directory / "checkpoints" / "last.ckpt").is_file()


def stopped_workers(pid: int) -> list[int]:
    workers = children(pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    return workers


def are_gone(processes: list[int]) -> bool:
    """Or wait for their new parent's attention; what is killed on a busy machine may take a moment."""

    def is_gone(state: Path) -> bool:
        try:
            return state.read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    until = time.monotonic() + 10
    while not (gone := all(is_gone(Path(f"/proc/{process}/stat")) for process in processes)):
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return gone


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_worker_is_noticed(workers: int, tiny: tuple[str, ...], tmp_path: Path) -> None:
    settings = (*tiny, *RUN, f"datamodule.num_workers={workers}", "datamodule.worker_timeout=2")
    process = start(tmp_path, *settings)
    kill_once_begun(tmp_path, process, 0.3, signal.SIGCONT, has_saved)
    stopped = stopped_workers(process.pid)
    began = time.monotonic()
    assert finish(process) == 1
    assert time.monotonic() - began < 20
    output = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in output
    sentence = output.splitlines()[-1]
    assert "returned nothing for 2 s" in sentence
    assert "raise datamodule.worker_timeout" in sentence
    assert f"resume={run_directory(tmp_path).relative_to(tmp_path)}" in sentence
    assert are_gone(stopped)


def test_the_features_wait_no_longer(tiny: tuple[str, ...], tmp_path: Path) -> None:
    """They are computed before there is a checkpoint."""
    slow = "datamodule.train_transform.transforms=[{_target_: torchvision.transforms.v2.Resize, size: [2000,2000]}]"
    network = ("network=timm", "network.name=test_resnet", "network.pretrained=false")
    workers = ("datamodule.num_workers=1", "datamodule.worker_timeout=1", "features.augmentation_views=50")
    process = start(tmp_path, *tiny, *network, *workers, slow)
    while process.poll() is None and not children(process.pid):
        time.sleep(0.01)
    stopped = stopped_workers(process.pid)
    assert finish(process) == 1
    output = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in output
    assert "returned nothing for 1 s" in output.splitlines()[-1]
    assert are_gone(stopped)


def test_a_pause_of_the_whole_run_is_no_silence(tiny: tuple[str, ...], tmp_path: Path) -> None:
    """As by Ctrl-Z and `fg`."""
    settings = (*tiny, *RUN, "datamodule.num_workers=1", "datamodule.worker_timeout=2")
    process = start(tmp_path, *settings)
    kill_once_begun(tmp_path, process, 0, signal.SIGSTOP, has_saved)
    stopped = stopped_workers(process.pid)
    time.sleep(4)
    for pid in (process.pid, *stopped):
        os.kill(pid, signal.SIGCONT)
    time.sleep(2)
    assert process.poll() is None, (tmp_path / "output.txt").read_text()
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process) == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_a_run_whose_worker_is_stopped(
    number: int, code: int, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    process = start(tmp_path, *tiny, *RUN, "datamodule.num_workers=2", "datamodule.worker_timeout=0")
    kill_once_begun(tmp_path, process, 0.3, signal.SIGCONT, has_saved)
    stopped = stopped_workers(process.pid)
    for _ in range(2):
        time.sleep(0.5)
        os.kill(process.pid, number)
    began = time.monotonic()
    assert finish(process) == code
    assert time.monotonic() - began < 3
    assert are_gone(stopped)
    output = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in output
    directory = run_directory(tmp_path)
    assert directory is not None
    last = output.splitlines()[-1]
    assert last.startswith(f"Stopped by {signal.Signals(number).name}. To continue: ")
    assert last.endswith(f"{ROOT / 'train.py'} resume={directory.relative_to(tmp_path)}")
    assert load_checkpoint(directory / "checkpoints" / "last.ckpt")["global_step"] > 0


def test_a_second_signal_ends_a_call_that_no_handler_interrupts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
import hashlib, sys
sys.path.insert(0, {str(ROOT)!r})
from omegaconf import OmegaConf
from engine.process.stop import interruptible
with interruptible(OmegaConf.create({{"run_dir": "logs/x"}})):
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
""")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(script)], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "begun\n"
        for _ in range(2):
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors == f"Stopped by SIGINT. To continue: {command('train.py')} resume=logs/x\n"
