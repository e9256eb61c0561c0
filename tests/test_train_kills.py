"""Runs that are killed and resumed end with the bits of those that were not."""

import json
import random
import re
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from engine.checkpoints.checkpoint_io import load_checkpoint
from tests.conftest import ROOT
from tests.killing import (
    curves,
    differences,
    finish,
    kill_once_begun,
    run_directory,
    run_through,
    run_with_kills,
    start,
)

SMALL = ("network=timm", "network.name=test_resnet", "network.pretrained=false")
FINETUNE = ("experiment=transfer_finetune", *SMALL, "trainer.max_epochs=3")
DIGITS = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=3")
FEATURES = ("experiment=transfer_feature_extractor", *SMALL, "trainer.max_epochs=6")
STEPS = "callback.last_checkpoint.every_n_train_steps"
EACH_EPOCH = "callback.last_checkpoint.min_seconds=0"

# Of each kind: the experiment, and what may be another way when it is resumed.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "in memory": ((*DIGITS, f"{STEPS}=100"), ()),
    "in memory, step by step": ((*DIGITS, "datamodule.chunk=1", "trainer.max_epochs=2", f"{STEPS}=7"), ()),
    "cached features": (FEATURES, ()),
    "frozen, no cache": ((*FEATURES, "cache=false", "trainer.max_epochs=2"), ()),
    "photos": ((*FINETUNE, f"{STEPS}=1"), ("datamodule.num_workers=2",)),
    "photos, 2 workers": ((*FINETUNE, "datamodule.num_workers=2", f"{STEPS}=3"), ("datamodule.num_workers=4",)),
    "photos, 4 workers": ((*FINETUNE, "datamodule.num_workers=4"), ("datamodule.num_workers=0",)),
    "accumulation": ((*FINETUNE, "trainer.accumulate_grad_batches=3", f"{STEPS}=1"), ()),
    "half epochs": ((*FINETUNE, "trainer.val_check_interval=0.5", f"{STEPS}=1"), ()),
    "every second epoch": ((*FINETUNE, "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4", f"{STEPS}=1"), ()),
    "averaged weights": ((*DIGITS, "callback=[default,lookahead]", "scheduler=one_cycle", f"{STEPS}=50"), ()),
    "maximum of steps": ((*FINETUNE, "trainer.max_epochs=-1", "trainer.max_steps=10", "scheduler=constant"), ()),
    "early stopping": (
        (
            *DIGITS,
            "callback=[default,early_stopping]",
            "callback.early_stopping.patience=1",
            "trainer.max_epochs=12",
            "trainer.limit_train_batches=0.3",
            "optimizer.lr=0.3",
        ),
        (),
    ),
    "plateau": ((*DIGITS, "scheduler=plateau", "scheduler.scheduler.patience=0", "optimizer.lr=0.3"), ()),
    "moving average": ((*DIGITS, "callback=[default,ema]"), ()),
    "several checkpoints": ((*DIGITS, "+callback.best_checkpoint.save_top_k=2", "trainer.max_epochs=4"), ()),
    "mixed images": ((*FINETUNE, "mix=mixup", "augment=trivial", f"{STEPS}=1"), ()),
    "random layers": (("experiment=regression_dynamic", "trainer=cpu"), ()),
    "several labels": (("experiment=multilabel_bce", "trainer=cpu", "trainer.max_epochs=3"), ()),
    "domain adaptation": (("experiment=domain_adaptation_mmd", "trainer=cpu", "trainer.max_epochs=2"), ()),
    "cross-validation": (("experiment=transfer_cross_validation", *SMALL, "trainer.max_epochs=4"), ()),
}


def overrides_of(kind: str, tiny: tuple[str, ...]) -> tuple[str, ...]:
    of_photos = any("transfer" in override for override in KINDS[kind][0])
    return (*(tiny if of_photos else ()), *KINDS[kind][0], EACH_EPOCH)


Undisturbed = Callable[[str, tuple[str, ...]], tuple[Path, float]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Gives the run of a kind that was not killed, and its seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")  # that of a test is removed with it

    @cache
    def of(kind: str, tiny: tuple[str, ...]) -> tuple[Path, float]:
        return run_through(folder / re.sub(r"\W+", "_", kind), overrides_of(kind, tiny))

    return of


def resumed_as_if_never_killed(
    kind: str, tiny: tuple[str, ...], folder: Path, undisturbed: Undisturbed, draw: random.Random
) -> None:
    directory, seconds = undisturbed(kind, tiny)
    killed, codes = run_with_kills(
        folder / "killed",
        overrides_of(kind, tiny),
        draw=draw,
        seconds=seconds,
        kills=2,
        resumed_with=KINDS[kind][1],
    )
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert differences(directory, killed) == []


@pytest.mark.parametrize("kind", KINDS)
def test_killed_twice(kind: str, tiny: tuple[str, ...], tmp_path: Path, undisturbed: Undisturbed) -> None:
    resumed_as_if_never_killed(kind, tiny, tmp_path, undisturbed, random.Random(kind))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("kind", ["in memory", "cached features", "photos, 2 workers"])
def test_asked_to_stop(
    kind: str,
    number: int,
    code: int,
    tiny: tuple[str, ...],
    tmp_path: Path,
    undisturbed: Undisturbed,
) -> None:
    """It stops within a batch, saves, says so, and resumes from there as if nothing had happened."""
    settings = (*overrides_of(kind, tiny), "scheduler=constant")  # others may follow from the number of epochs
    process = start(tmp_path, *settings, "trainer.max_epochs=1000")
    kill_once_begun(tmp_path, process, 1.0, number, lambda found: any(found.glob("checkpoints/last.ckpt")))
    assert finish(process) == code
    directory = run_directory(tmp_path)
    assert directory is not None
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["status"] == "interrupted"
    assert metrics["error"] == f"Interrupted: {signal.Signals(number).name}"
    output = (tmp_path / "output.txt").read_text()
    assert f"{ROOT / 'train.py'} resume={directory.relative_to(tmp_path)}" in output
    assert "Traceback" not in output
    assert not list((directory / "checkpoints").glob(".*"))
    stopped_at = load_checkpoint(directory / "checkpoints" / "last.ckpt")["global_step"]
    assert curves(directory)[":train/loss_step"][-1][0] <= stopped_at

    epochs = metrics["epochs"] + 2
    assert finish(start(tmp_path, f"resume={directory}", f"trainer.max_epochs={epochs}")) == 0
    straight, _ = run_through(tmp_path / "straight", (*settings, f"trainer.max_epochs={epochs}"))
    assert differences(straight, directory) == []


def test_a_second_signal_is_obeyed_at_once(tmp_path: Path) -> None:
    """In the middle of a batch: here of one that does not end."""
    process = start(tmp_path, *DIGITS, EACH_EPOCH, "+callback.endless._target_=tests.strangers.Endless")
    for delay in (1.0, 0.2):
        kill_once_begun(tmp_path, process, delay, signal.SIGINT, lambda found: any(found.glob("checkpoints/last.ckpt")))
    assert finish(process) == 130


@pytest.mark.slow
@pytest.mark.parametrize("number", range(100))
def test_killed_a_hundred_times(number: int, tiny: tuple[str, ...], tmp_path: Path, undisturbed: Undisturbed) -> None:
    kind = list(KINDS)[number % len(KINDS)]
    resumed_as_if_never_killed(kind, tiny, tmp_path, undisturbed, random.Random(number))
