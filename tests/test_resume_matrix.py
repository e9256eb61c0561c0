"""Every kind of schedule, resumed in the middle of its training with every kind of change.

What a cell must give follows from torch's own schedulers on an optimizer without a network, stepped by hand here.
"""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from engine.checkpoints.checkpoint_io import load_checkpoint
from tests.conftest import RunTrain, Train, metrics_of

EPOCHS, DONE, RATE = 4, 2, 0.05
SIZE, BATCH = 1257, 64  # digits' training examples; a batch
SHORT = (
    "experiment=lenet_nll",
    "trainer=cpu",
    "callback=[plain]",
    "logger=csv",
    "trainer.log_every_n_steps=1",
    "datamodule.chunk=1",
    f"datamodule.batch_size={BATCH}",
    f"optimizer.lr={RATE}",
)
EACH_EPOCH = "{_target_: pytorch_lightning.callbacks.ModelCheckpoint, save_top_k: -1, filename: 'e{epoch}', dirpath: '${run_dir}/kept', auto_insert_metric_name: false}"  # noqa: E501

Make = Callable[[torch.optim.Optimizer, int, int], Any]


def triangle(optimizer: torch.optim.Optimizer, epochs: int, steps: int) -> Any:
    def factor(step: int) -> float:
        peak = int(0.23 * steps)
        return 0.2 + 0.8 * step / peak if step < peak else 1 + (0.07 - 1) * min(1.0, (step - peak) / (steps - peak))

    return lr_scheduler.LambdaLR(optimizer, factor)


def one_cycle(optimizer: torch.optim.Optimizer, epochs: int, steps: int) -> Any:
    rate = optimizer.param_groups[0]["lr"]
    return lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps, cycle_momentum=False)


# Of each schedule: its override, how to make it, and whether it is stepped after each step.
SCHEDULES: dict[str, tuple[tuple[str, ...], Make, bool]] = {
    "cosine": ((), lambda o, epochs, steps: lr_scheduler.CosineAnnealingLR(o, epochs), False),
    "one_cycle": ((), one_cycle, True),
    "triangular": ((), triangle, True),
    "step": (("scheduler.scheduler.step_size=3",), lambda o, epochs, steps: lr_scheduler.StepLR(o, 3), False),
    "constant": ((), lambda o, epochs, steps: lr_scheduler.ConstantLR(o, 1.0), False),
    "plateau": (
        (
            "scheduler.scheduler.patience=0",
            "scheduler.scheduler.threshold=10",
            "scheduler.scheduler.threshold_mode=abs",
        ),
        # No epoch improves on the one before by 10: every one but the first divides the rate by 10.
        lambda o, epochs, steps: lr_scheduler.MultiStepLR(o, list(range(2, 99))),
        False,
    ),
}
CHANGES = ["longer", "rate", "batch", "processes", "logger", "moved"]


def in_epoch(batch: int) -> int:
    return -(-SIZE // batch)


def rates(schedule: str, *, rate: float, epochs: int, batch: int) -> dict[int, float]:
    """The logged rate after each optimizer step of a training whose first DONE epochs had batches of BATCH."""
    sizes = [in_epoch(BATCH)] * DONE + [in_epoch(batch)] * (epochs - DONE)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    _, make, by_step = SCHEDULES[schedule]
    scheduler = make(optimizer, epochs, sum(sizes))
    found, step = {}, 0
    optimizer.step()
    for size in sizes:
        for done in range(1, size + 1):
            step += 1
            if by_step or (done == size and schedule != "plateau"):
                scheduler.step()
            found[step] = optimizer.param_groups[0]["lr"]
        if schedule == "plateau":  # after the epoch's validation
            scheduler.step()
    return found


def logged(directory: Path) -> dict[int, float]:
    with (directory / "metrics.csv").open() as file:
        return {int(row["step"]): float(row["value"]) for row in csv.DictReader(file) if row["name"] == "train/lr"}


def weights(directory: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(directory / "checkpoints" / "last.ckpt")["state_dict"]
    return state


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, train_here: Train) -> Callable[[str], Path]:
    """The run of a schedule that nothing interrupted, with a checkpoint of each epoch."""
    made: dict[str, Path] = {}

    def run(schedule: str) -> Path:
        if schedule not in made:
            settings = (*SHORT, f"scheduler={schedule}", *SCHEDULES[schedule][0], f"trainer.max_epochs={EPOCHS}")
            folder = tmp_path_factory.mktemp(schedule)
            made[schedule] = train_here(folder, *settings, f"+callback.kept={EACH_EPOCH}")
        return made[schedule]

    return run


def interrupted(run: Path, directory: Path) -> Path:
    """The same run as a kill after DONE epochs would have left it."""
    shutil.copytree(run, directory)
    shutil.copy(run / "kept" / f"e{DONE - 1}.ckpt", directory / "checkpoints" / "last.ckpt")
    (directory / "checkpoints" / "last.ckpt.prev").unlink(missing_ok=True)
    (directory / "metrics.json").unlink()
    return directory


CELLS = [
    pytest.param(schedule, change, marks=[pytest.mark.slow] if change == "processes" and schedule != "cosine" else [])
    for schedule in SCHEDULES
    for change in CHANGES
]


@pytest.mark.parametrize(("schedule", "change"), CELLS)
def test_cell(
    schedule: str,
    change: str,
    straight: Callable[[str], Path],
    train_here: Train,
    run_train: RunTrain,
    tmp_path: Path,
) -> None:
    whole = straight(schedule)
    assert logged(whole) == pytest.approx(rates(schedule, rate=RATE, epochs=EPOCHS, batch=BATCH))
    directory = interrupted(whole, tmp_path / ("moved" if change == "moved" else "run"))
    epochs, rate, batch, given = EPOCHS, RATE, BATCH, ()
    if change == "longer":
        epochs, given = 6, ("trainer.max_epochs=6",)
    elif change == "rate":
        rate, given = RATE / 2, (f"optimizer.lr={RATE / 2}",)
    elif change == "batch":
        batch, given = 2 * BATCH, (f"datamodule.batch_size={2 * BATCH}",)
    elif change == "processes":
        batch = 2 * BATCH  # each has a batch of its own
        given = ("trainer.devices=2", "trainer.strategy=ddp")
    elif change == "logger":
        given = ("logger=[csv,tensorboard]",)
    if change == "processes":
        ended = run_train(f"resume={directory}", *given, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    else:
        train_here(tmp_path, f"resume={directory}", *given)

    metrics, found = metrics_of(directory), logged(directory)
    assert (metrics["status"], metrics["epochs"]) == ("completed", epochs)
    expected = rates(schedule, rate=rate, epochs=epochs, batch=batch)
    done = DONE * in_epoch(BATCH)
    if schedule == "plateau" and change == "rate":  # a new rate is where the plateaus to come start from
        expected = {step: RATE / 2 if step <= done + in_epoch(BATCH) else RATE / 20 for step in expected}
    assert list(found) == list(expected)
    assert {s: r for s, r in found.items() if s > done} == pytest.approx(
        {s: r for s, r in expected.items() if s > done}
    )
    if change in ("logger", "moved"):
        assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(directory).items())
    if change == "logger":
        assert list(directory.glob("events.out.tfevents.*"))
