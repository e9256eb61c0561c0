"""`python train.py` in a process of its own, with what it needs taken away: one sentence, no traceback, exit code 1."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import forked
from tests.conftest import ROOT, RunTrain, metrics_of, only_run

Finished = subprocess.CompletedProcess[str]
NETWORK = ("network=timm", "network.name=test_resnet", "network.pretrained=false")


def told(done: Finished) -> str:
    """The sentence that a run ended with, beside what Hydra itself says."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    hydras = ("Error executing job", "Set the environment variable HYDRA_FULL_ERROR")
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(hydras)]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture
def photos(data_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data_dir, tmp_path / "data"))


def test_photo_at_fault_in_a_worker(photos: Path, tiny: tuple[str, ...], run_train: RunTrain, tmp_path: Path) -> None:
    odd = photos / "hymenoptera_data" / "train" / "bees" / "0003.jpg"
    # Its quantisation tables are gone, as only decoding shows.
    odd.write_bytes(odd.read_bytes().replace(b"\xff\xdb", b"\xff\xec"))
    settings = ("experiment=transfer_finetune", "datamodule.num_workers=1", f"datamodule.data_dir={photos}")
    done = run_train(*tiny, *NETWORK, *settings, cwd=tmp_path)
    assert told(done).startswith(f"{odd} cannot be decoded as an image (")
    assert not list(tmp_path.glob("logs/*/*")), "no step was trained"


def test_killed_worker(tiny: tuple[str, ...], tmp_path: Path) -> None:
    settings = (*tiny, *NETWORK, "experiment=transfer_finetune", "datamodule.num_workers=1", "trainer.max_epochs=1000")
    with forked.start("train.py", *settings, cwd=tmp_path) as process:
        kill_a_worker(process.pid, tmp_path)
        stdout, stderr = process.communicate(timeout=60)
    sentence = told(subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr))
    assert sentence.startswith("A worker process that reads the data ")
    assert "datamodule.num_workers (now 1) or datamodule.batch_size (now 4)" in sentence
    directory = only_run(tmp_path)
    assert f"continue with `python {ROOT}/train.py resume={directory.relative_to(tmp_path)}`" in sentence
    assert metrics_of(directory)["error"].endswith(sentence)


def kill_a_worker(pid: int, folder: Path) -> None:
    """Waits for the first checkpoint of the run in `folder`, and then kills a process that its process has forked."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if list(folder.glob("logs/*/*/checkpoints/last.ckpt")):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in children:
                if Path(f"/proc/{child}/cmdline").read_bytes() == Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)
                    return
    pytest.fail("there was no worker")


def test_no_room_for_a_checkpoint(tiny: tuple[str, ...], tmp_path: Path) -> None:
    settings = (*tiny, *NETWORK, "experiment=transfer_finetune", "trainer.max_epochs=1")
    command = [sys.executable, str(ROOT / "train.py"), *settings]
    limit = 200_000  # bytes that any file may have: as if the disk were full, but for root too
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    sentence = told(done)
    directory = only_run(tmp_path)
    assert sentence.startswith(f"{directory}/checkpoints/")
    assert ".ckpt cannot be written (File too large): free space on that disk" in sentence
    assert metrics_of(directory)["status"] == "failed"
    assert not [path for path in directory.rglob("*") if path.name.startswith((".best", ".last"))]


def test_no_place_for_the_run(tiny: tuple[str, ...], run_train: RunTrain, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")  # which stops root, too
    done = run_train(*tiny, *NETWORK, cwd=tmp_path)
    assert told(done).startswith("logs/transfer_feature_extractor cannot hold the run (Not a directory): fix its perm")


def test_too_little_memory(run_train: RunTrain, tmp_path: Path) -> None:
    """More than an address has room for."""
    done = run_train("experiment=regression_two_layer_net", "datamodule.batch_size=1000000000000", cwd=tmp_path)
    assert told(done).startswith("The machine is out of memory, trying to allocate 4000000000000000 bytes: lower ")
    assert "datamodule.batch_size (now 1000000000000)" in told(done)
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("hard", [None, 27])
def test_few_open_files(hard: int | None, tiny: tuple[str, ...], tmp_path: Path) -> None:
    """A limit that may be raised is raised; one that may not is named, whatever cannot be destroyed then."""
    settings = (*tiny, *NETWORK, "experiment=transfer_finetune", "trainer.max_epochs=1", "datamodule.num_workers=4")
    most = hard or resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *settings],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (27, most)),
    )
    if hard is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("Too many files are open: lower datamodule.num_workers (now 4)")
