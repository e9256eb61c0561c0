"""Parts that run in separate processes (benchmarks/gpu.py): kills and resumes, and the tests that need a GPU."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.gpu_training import Settings
from tests.killing import differences

ROOT = Path(__file__).parent.parent
TIMEOUT = 240  # seconds


def train(folder: Path, *overrides: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "train.py"), *overrides]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process: "subprocess.Popen[str]") -> None:
    output, _ = process.communicate(timeout=TIMEOUT)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {output[-3000:]}")


def resume(settings: Settings) -> dict[str, Any]:
    """Each experiment's run, killed in its second epoch or later and resumed, compared with an uninterrupted one."""
    epochs = 2 if settings.quick else 20
    shared = (
        settings.trainer,
        settings.precision,
        "trainer.deterministic=true",
        "callback.last_checkpoint.min_seconds=0",
        f"datamodule.data_dir={settings.data_dir}",
    )
    experiments = {
        "cifar10_airbench": ("experiment=cifar10_airbench", "channels_last=true", f"trainer.max_epochs={epochs}"),
        "transfer_finetune": (
            "experiment=transfer_finetune",
            "network=efficientnet_lite0",
            "datamodule.batch_size=32",
            f"trainer.max_epochs={2 if settings.quick else 5}",
        ),
    }
    if settings.quick:
        del experiments["transfer_finetune"]
    with ThreadPoolExecutor() as pool:
        parts = {n: pool.submit(_killed_and_whole, settings, n, *shared, *own) for n, own in experiments.items()}
        return {name: part.result() for name, part in parts.items()}


def _killed_and_whole(settings: Settings, name: str, *overrides: str) -> dict[str, Any]:
    folder = settings.scratch / name
    folder.mkdir()
    whole, killed = folder / "whole", folder / "killed"
    alone = train(folder, *overrides, f"hydra.run.dir={whole}")
    process = train(folder, *overrides, f"hydra.run.dir={killed}")
    _kill_after_an_epoch(process, killed)
    finished(alone)
    finished(train(folder, f"resume={killed}"))
    found = differences(whole, killed)
    return {"same_bits": not found, "differences": found[:10]}


def _kill_after_an_epoch(process: "subprocess.Popen[str]", run: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not (run / "checkpoints" / "last.ckpt").is_file():
        if process.poll() is not None or time.monotonic() > deadline:
            finished(process)
            raise RuntimeError("the run was over before it could be killed")
        time.sleep(0.01)
    process.kill()
    process.communicate()


def gpu_tests(_: Settings) -> dict[str, Any]:
    files = [str(file) for file in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.gpu" in file.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", "-m", "gpu"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return {"result": done.stdout.strip().splitlines()[-1]}
