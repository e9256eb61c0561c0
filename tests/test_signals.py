"""SIGTERM, Ctrl-C and SIGHUP at random moments, from the first import to the last write, of runs as a user starts them.

Each ends the process with 143, 130 or 129 and at most one line. What is resumed ends with the bits of what was not
stopped.
"""

import json
import os
import pty
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import forked
from tests.conftest import ROOT
from tests.killing import differences

TIMEOUT = 180  # seconds
EPOCHS = ("trainer.max_epochs=2", "callback.last_checkpoint.min_seconds=0", "seed=1")
SHORT = ("trainer=cpu", *EPOCHS)
DIGITS = ("experiment=lenet_nll", *SHORT, "trainer.limit_train_batches=0.3")
TWO = ("experiment=lenet_nll", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", *EPOCHS)
STEPS = ("datamodule.chunk=1", "callback.last_checkpoint.every_n_train_steps=5")
KINDS: dict[str, tuple[str, ...]] = {
    "digits": ("train.py", *DIGITS),
    "digits, step by step": ("train.py", *DIGITS, *STEPS),
    "regression": ("train.py", "experiment=regression_dynamic", *SHORT),
    "several labels": ("train.py", "experiment=multilabel_bce", *SHORT),
    "csv alone": ("train.py", *DIGITS, "logger=csv"),
    "sweep": ("train.py", "-m", *DIGITS, "callback=[plain]", "seed=1,2", "hydra.sweep.dir=logs/sweep/it"),
    "two processes": ("train.py", *TWO, "trainer.limit_train_batches=0.3"),
    "evaluate": ("evaluate.py",),
    "export": ("export.py", "format=state_dict"),
}
IN_THE_ORDINARY_SUITE = ("digits", "digits, step by step", "regression", "sweep", "evaluate")
OF_READING = ("evaluate", "export")


class Undisturbed:
    """Runs that nobody stops: how long each kind takes, and what it leaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}

    def of(self, kind: str) -> tuple[Path, float]:
        folder = self.folder / kind.replace(" ", "_").replace(",", "")
        if kind not in self.seconds:
            folder.mkdir()
            process, began = started(folder, command_of(kind, self)), time.monotonic()
            _, errors = process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, errors
            self.seconds[kind] = time.monotonic() - began
        return folder, self.seconds[kind]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"))


def command_of(kind: str, undisturbed: Undisturbed) -> tuple[str, ...]:
    """Those that read a run get one of digits, which they leave unchanged."""
    if kind not in OF_READING:
        return KINDS[kind]
    (run,) = runs_in(undisturbed.of("digits")[0])
    return (*KINDS[kind], f"run={run}", "output=network.pt") if kind == "export" else (*KINDS[kind], f"run={run}")


def started(folder: Path, command: Sequence[str]) -> "subprocess.Popen[str]":
    """Returns once the script's first lines have been read: what comes before is Python's own."""
    script, *arguments = command
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # these tests may run under nohup
    )
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None and not handles_sigterm(status):
        time.sleep(0.002)
    return process


def handles_sigterm(status: Path) -> bool:
    try:
        (caught,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    except (OSError, ValueError):  # it has ended, or this is no Linux
        return True
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def runs_in(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob("logs/**/config.yaml") if file.parent.name != ".hydra")


def stopped_and_resumed(kind: str, seed: int, folder: Path, undisturbed: Undisturbed) -> None:
    whole, seconds = undisturbed.of(kind)
    draw = random.Random(f"{kind} {seed}")
    number = draw.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    process = started(folder, command_of(kind, undisturbed))
    try:
        output, errors = process.communicate(timeout=draw.uniform(0, seconds))
    except subprocess.TimeoutExpired:
        os.kill(process.pid, number)
        output, errors = process.communicate(timeout=TIMEOUT)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    assert code in (0, 128 + number), (output, errors)
    assert "Traceback" not in output + errors
    assert len(errors.splitlines()) <= 1, errors
    if kind in OF_READING:
        assert not list(whole.parent.rglob("*.partial*"))
        return
    resume(kind, folder)
    there, here = runs_in(whole), runs_in(folder)
    if here:  # it had come so far
        assert [run.name.rpartition("_")[2] for run in there][1:] == [run.name.rpartition("_")[2] for run in here][1:]
        assert [differences(*pair) for pair in zip(there, here, strict=True)] == [[]] * len(there)
    assert not [path for path in folder.rglob("*.partial*") if path.is_file()]


def resume(kind: str, folder: Path) -> None:
    if kind == "sweep":
        given = ["-m", "sweep.resume=logs/sweep/it"] if (folder / "logs/sweep/it/sweep.json").is_file() else None
    else:
        runs = [run for run in runs_in(folder) if not is_completed(run)]
        given = [f"resume={runs[0]}"] if runs else None
    if given:
        done = forked.run("train.py", *given, cwd=folder, timeout=TIMEOUT)
        assert done.returncode == 0, done.stdout + done.stderr


def is_completed(run: Path) -> bool:
    file = run / "metrics.json"
    return file.is_file() and json.loads(file.read_text())["status"] == "completed"


@pytest.mark.parametrize("seed", range(12))
def test_stopped_at_a_random_moment(seed: int, tmp_path: Path, undisturbed: Undisturbed) -> None:
    kind = IN_THE_ORDINARY_SUITE[seed % len(IN_THE_ORDINARY_SUITE)]
    stopped_and_resumed(kind, seed, tmp_path, undisturbed)


def test_a_terminal_that_is_closed(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """The run stops as by any other signal, though nothing can be written to the terminal any more."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, str(ROOT / "train.py"), *DIGITS, *STEPS, "trainer.max_epochs=2"])
    until = time.monotonic() + TIMEOUT
    while not list(tmp_path.glob("logs/*/*/checkpoints/last.ckpt")):
        assert time.monotonic() < until
        if select.select([terminal], [], [], 0.01)[0]:
            os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    (run,) = runs_in(tmp_path)
    assert json.loads((run / "metrics.json").read_text())["error"] == "Interrupted: SIGHUP"
    resume("digits, step by step", tmp_path)
    (whole,) = runs_in(undisturbed.of("digits, step by step")[0])
    assert differences(whole, run) == []


def test_nohup(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *DIGITS],
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    while process.poll() is None:
        os.kill(process.pid, signal.SIGHUP)
        time.sleep(0.1)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 162))
def test_stopped_at_many_random_moments(seed: int, tmp_path: Path, undisturbed: Undisturbed) -> None:
    stopped_and_resumed(list(KINDS)[seed % len(KINDS)], seed, tmp_path, undisturbed)
