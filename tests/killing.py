"""Runs of train.py that can be killed, and what they leave, compared to the last bit."""

import json
import math
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.checkpoints.checkpoint_io import load_checkpoint
from tests import forked
from tests.forked import Started

TIMEOUT = 120  # seconds
# What says how long something took, or where it lies.
OF_THE_CLOCK = {"seconds", "images_per_second", "train/images_per_second", "git"}
OF_THE_PLACE = {"dirpath", "best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"}


def start(folder: Path, *overrides: str) -> Started:
    """`python train.py ...` in `folder`, whose output goes to `folder`/output.txt."""
    folder.mkdir(exist_ok=True)
    return forked.start("train.py", *overrides, cwd=folder, output=folder / "output.txt")


def finish(process: Started) -> int:
    """Waits for its end, and gives its exit code, that of a signal negative."""
    try:
        return process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def run_directory(folder: Path) -> Path | None:
    found = [file.parent for file in folder.glob("logs/*/*/config.yaml")]
    return found[0] if found else None


def kill_once_begun(
    folder: Path,
    process: Started,
    delay: float,
    number: int,
    begun: Callable[[Path], bool] = lambda directory: True,
) -> None:
    """Sends the signal `delay` seconds after the run has a directory that can be resumed, and that has `begun`."""
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        directory = run_directory(folder)
        if directory is not None and begun(directory):
            break
        time.sleep(0.005)
    with suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    process.send_signal(number)


def run_through(folder: Path, overrides: Sequence[str]) -> tuple[Path, float]:
    """An undisturbed run: its directory, and its seconds from the first to the last trace."""
    process = start(folder, *overrides)
    while process.poll() is None and run_directory(folder) is None:
        time.sleep(0.005)
    began = time.monotonic()
    assert finish(process) == 0, (folder / "output.txt").read_text()
    directory = run_directory(folder)
    assert directory is not None
    return directory, time.monotonic() - began


def run_with_kills(
    folder: Path,
    overrides: Sequence[str],
    *,
    draw: random.Random,
    seconds: float,
    kills: int = 1,
    number: int = signal.SIGKILL,
    resumed_with: Sequence[str] = (),
) -> tuple[Path, list[int]]:
    """A run that is killed at random moments of the `seconds` that it takes, and resumed to its end.

    Returns its directory, and the exit codes of the killed processes.
    """
    codes = []
    process = start(folder, *overrides)
    for _ in range(kills):
        kill_once_begun(folder, process, draw.uniform(0, seconds), number)
        codes.append(finish(process))
        directory = run_directory(folder)
        assert directory is not None, (folder / "output.txt").read_text()
        process = start(folder, f"resume={directory}", *resumed_with)
    assert finish(process) == 0, (folder / "output.txt").read_text()
    directory = run_directory(folder)
    assert directory is not None
    return directory, codes


def differences(first: Path, second: Path) -> list[str]:
    """Where two runs differ in weights, optimizer, scheduler and callback states, metrics, best epoch or curves."""
    found = []
    for name in ("best.ckpt", "last.ckpt"):
        one, other = (load_checkpoint(directory / "checkpoints" / name) for directory in (first, second))
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch", "global_step"):
            found += _unequal(f"{name}:{part}", one.get(part), other.get(part))
    metrics = [json.loads((directory / "metrics.json").read_text()) for directory in (first, second)]
    found += _unequal("metrics.json", *({k: v for k, v in m.items() if k not in OF_THE_CLOCK} for m in metrics))
    return found + _unequal("curves", curves(first), curves(second))


def curves(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Every point of every scalar, as in the event files, with nothing purged."""
    found = {}
    for run in ("", "train", "val", "test"):
        events = EventAccumulator(str(directory / run), size_guidance={"scalars": 0}, purge_orphaned_data=False)
        for tag in events.Reload().Tags()["scalars"] if (directory / run).is_dir() else ():
            if tag not in OF_THE_CLOCK:
                found[f"{run}:{tag}"] = [(point.step, point.value) for point in events.Scalars(tag)]
    return found


def _unequal(name: str, one: Any, other: Any) -> list[str]:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and bool(torch.equal(one, other))
    elif isinstance(one, dict) and isinstance(other, dict):
        one, other = ({k: v for k, v in side.items() if k not in OF_THE_PLACE} for side in (one, other))
        if set(map(str, one)) != set(map(str, other)):
            # A callback's key holds its settings, and so its folder.
            return [] if len(one) == len(other) and "callbacks" in name else [f"{name}: {set(one) ^ set(other)}"]
        return [line for key in one for line in _unequal(f"{name}.{key}", one[key], other[key])]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{name}: {one} and {other}"]
        return [line for i, (a, b) in enumerate(zip(one, other, strict=True)) for line in _unequal(f"{name}.{i}", a, b)]
    else:
        both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
        same = both_nan or one == other
    return [] if same else [f"{name}: {one} and {other}"]
