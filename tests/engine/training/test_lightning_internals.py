"""The private names of Lightning and torchmetrics that lightning_internals.py depends on, on a real training.

A release that moves one fails here, with a sentence that says what would break.
"""

import signal
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from lightning_fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
from torch import nn
from torch.optim import SGD

from engine.training import lightning_internals
from engine.training.lightning_internals import (
    RESTORING,
    add_steps,
    allow_clipping,
    gradients_are_unfinished,
    looks_within_batches,
    saves_within_epochs,
    validation_is_due,
)
from engine.training.loop_state import settle
from tests.noise import classifier, noise, trainer

PROGRESS = ("ready", "started", "processed", "completed")

# What each name is looked up in, in the middle of a training, and what no longer works without it.
NAMES: dict[str, tuple[Callable[[Trainer], Any], str]] = {
    "_data_fetcher": (lambda t: t.fit_loop, "a resumed run would ask for a batch beyond the epoch's last"),
    "_load_combined_loader_states": (lambda t: t.fit_loop, "a resumed run would start its epoch from the beginning"),
    "_restarting": (lambda t: t.fit_loop, "a resumed run would leave out a scheduler's step"),
    "_should_accumulate": (lambda t: t.fit_loop, "gradients accumulated before a checkpoint would be lost"),
    "_should_check_val_fx": (lambda t: t.fit_loop.epoch_loop, "a validation due at a checkpoint would be left out"),
    "_num_ready_batches_reached": (lambda t: t.fit_loop.epoch_loop, "a run resumed at an epoch's end would not end it"),
    "restarting": (lambda t: t.fit_loop.epoch_loop, "a run resumed before an epoch would skip its start"),
    "manual_optimization": (lambda t: t.fit_loop.epoch_loop, "global_step would not count the steps of chunks"),
    "on_advance_end": (lambda t: t.fit_loop.epoch_loop, "a signal would not be obeyed after its batch"),
    "on_run_start": (lambda t: t.fit_loop.epoch_loop, "a loader without a position would begin with other batches"),
    "setup_data": (lambda t: t.fit_loop, "a loader without a position would begin with other batches"),
    "_combined_loader": (lambda t: t.fit_loop, "the generators of the data loaders would not be restored"),
    "_resuming_from_checkpoint": (
        lambda t: t.fit_loop,
        "a resumed run would not reshuffle its first epoch",
    ),
    "_last_train_dl_reload_epoch": (lambda t: t.fit_loop, "a resumed run would reload its data in other epochs"),
    "_last_val_dl_reload_epoch": (
        lambda t: t.fit_loop.epoch_loop.val_loop,
        "a resumed run would reload its validation data in other epochs",
    ),
    "_first_loop_iter": (lambda t: t._logger_connector, "a resumed epoch would forget what it has logged"),
    "_results": (lambda t: t.fit_loop.epoch_loop, "checkpoints would lose what an epoch has logged"),
    "batch_progress": (lambda t: t.fit_loop.epoch_loop, "the position in an epoch would be lost"),
    "_detect_anomaly": (lambda t: t, "detect_anomaly would look at chunks"),
    "_every_n_train_steps": (lambda t: ModelCheckpoint(), "a ModelCheckpoint would count chunks as steps"),
    "_train_time_interval": (lambda t: ModelCheckpoint(), "a ModelCheckpoint by time would wait for chunks"),
    "_step_supports_amp_scaling": (
        lambda t: SGD([nn.Parameter()], fused=True),
        "gradients could not be clipped in mixed precision",
    ),
    **{
        name: (lambda t: t._checkpoint_connector, "a damaged checkpoint would end in a traceback") for name in RESTORING
    },
    "_swap_models": (
        lambda t: WeightAveraging(),
        "a signal during a validation would save averaged weights as those that are trained",
    ),
    "_average_model": (lambda t: WeightAveraging(), "a signal during a validation would end in a traceback"),
    "_update_count": (
        lambda t: next(iter(t.lightning_module.metrics("train").values())),  # type: ignore[operator]
        "a resumed run's training metrics would warn that they have seen nothing",
    ),
}


class InTheMiddle(Callback):
    """Looks once, after the fourth batch, and keeps what a checkpoint holds there."""

    def __init__(self, look: Callable[[Trainer], None]) -> None:
        self.look = look

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 3:
            self.look(trainer)


def look(action: Callable[[Trainer], None], **settings: Any) -> None:
    done: list[int] = []
    callback = InTheMiddle(lambda trainer: (action(trainer), done.append(1))[0])  # type: ignore[func-returns-value]
    trainer(callbacks=[callback], max_epochs=1, **settings).fit(classifier(), datamodule=noise(1))
    assert done


def test_every_private_name_is_where_it_was() -> None:
    def check(trainer: Trainer) -> None:
        for name, (owner, broken) in NAMES.items():
            place = owner(trainer)
            assert hasattr(place, name), f"{type(place).__name__}.{name} is gone in this release: {broken}."

    look(check)


def test_the_state_of_the_loops_has_the_layout_that_is_settled() -> None:
    def check(trainer: Trainer) -> None:
        loop = trainer.fit_loop.state_dict() | {}
        broken = "is not in the loops' state in this release: checkpoints would resume at the wrong place."
        for key in ("epoch_progress", "epoch_loop.batch_progress", "epoch_loop.val_loop.batch_progress"):
            for span in ("current", "total"):
                assert set(PROGRESS) <= set(loop.get(key, {}).get(span, {})), f"{key}.{span} {broken}"
        assert "_batches_that_stepped" in loop.get("epoch_loop.state_dict", {}), f"_batches_that_stepped {broken}"
        settle(loop, validation_due=validation_is_due(trainer, validated=False), accumulating=False)
        assert loop["epoch_loop.batch_progress"]["current"] == dict.fromkeys(PROGRESS, 4)

    look(check)


def test_added_steps_are_the_trainers_global_step() -> None:
    module = classifier()
    fitted = trainer(max_epochs=1)
    fitted.fit(module, datamodule=noise(1))
    module.automatic_optimization = False
    before = fitted.global_step
    add_steps(fitted, 7)
    assert fitted.global_step == before + 7, "steps of chunks are no longer counted where Lightning reads global_step."


def test_gradients_wait_for_their_step_between_two_accumulated_batches() -> None:
    seen: list[bool] = []
    look(lambda trainer: seen.append(gradients_are_unfinished(trainer)), accumulate_grad_batches=3)
    look(lambda trainer: seen.append(gradients_are_unfinished(trainer)), accumulate_grad_batches=2)
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"detect_anomaly": True}, "detect_anomaly=true"),
        ({"profiler": "simple"}, "profiler=SimpleProfiler"),
        ({"val_check_interval": "00:00:01:00"}, "val_check_interval as a time"),
    ],
)
def test_what_lightning_does_within_batches(settings: dict[str, Any], expected: str | None) -> None:
    assert looks_within_batches(trainer(**settings)) == expected


def test_which_checkpoints_are_saved_within_epochs() -> None:
    within = [{"every_n_train_steps": 2}, {"save_on_exception": True}]
    assert [saves_within_epochs(ModelCheckpoint(**settings)) for settings in (*within, {})] == [True, True, False]


@pytest.mark.parametrize("fused", [True, False])
def test_clipping_in_mixed_precision_clips(fused: bool) -> None:
    """With a norm near zero the weights stay where they are: Lightning clips, and does not refuse to."""
    from functools import partial

    module = classifier(optimizer=partial(SGD, lr=0.05, fused=fused))
    before = {name: value.clone() for name, value in module.network.named_parameters()}
    trainer(precision="bf16-mixed", gradient_clip_val=1e-9, max_epochs=1).fit(module, datamodule=noise(4))
    for name, value in module.network.named_parameters():
        assert (value - before[name]).abs().max() < 1e-8, name
    allow_clipping(SGD([nn.Parameter()]))  # any other optimizer is left unchanged


def test_lightnings_observer_does_not_see_the_processes_that_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would kill this one."""
    monkeypatch.setattr(lightning_internals, "PATIENCE", 0.1)
    other = subprocess.Popen(["sleep", "60"])
    observed = [other]
    training: Any = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=observed)))
    lightning_internals.end_other_processes(training)
    assert other.poll() == -signal.SIGKILL
    assert _ChildProcessObserver(0, observed)._run(), "it has nothing to observe any more"
