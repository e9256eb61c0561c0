"""Everything that depends on names Lightning and torchmetrics keep to themselves; no other file may use one.

tests/engine/training/test_lightning_internals.py checks each of them against the installed release.

Most of it is about exact resumption. Lightning 2.6 saves its loops' counters wherever it happens to be in an epoch, and
guesses from them on restart what had been done: after a batch's end it drops the validation that was due, and after an
epoch without a validation it continues as if there had been one. Here the counters are brought into one of two forms
before they are saved, so that a restart needs no guess.
"""

import subprocess
import time
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.core.optimizer import _init_optimizers_and_lr_schedulers
from pytorch_lightning.profilers import PassThroughProfiler
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from engine.stop import kill_children

PATIENCE = 3.0  # seconds

RESTORING = ("_restore_modules_and_callbacks", "restore_training_state")
"""Functions of Lightning's checkpoint connector in which a checkpoint's content is used."""

# Steps ----------------------------------------------------------------------------------------------------------------


def add_steps(trainer: Trainer, steps: int) -> None:
    """Adds optimizer steps that bypassed Lightning's optimizer wrapper to `trainer.global_step`."""
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    progress.total.ready += steps
    progress.total.completed += steps


def gradients_are_unfinished(trainer: Trainer) -> bool:
    """Whether the gradients of the last batch were accumulated and still wait for their optimizer step."""
    return trainer.fit_loop._should_accumulate()


def looks_within_batches(trainer: Any) -> str | None:
    """The Trainer setting, `name=value`, that has Lightning act inside a step or by the clock, if any."""
    if trainer._detect_anomaly:
        return "detect_anomaly=true"
    if getattr(trainer, "_val_check_time_interval", None) is not None:
        return "val_check_interval as a time"
    if not isinstance(trainer.profiler, PassThroughProfiler):
        return f"profiler={type(trainer.profiler).__name__}"
    return None


def saves_within_epochs(callback: ModelCheckpoint) -> bool:
    """Whether a ModelCheckpoint also saves between two ends of epochs: by steps, by time or after an exception."""
    by_time = callback._train_time_interval is not None
    return callback._every_n_train_steps > 0 or by_time or bool(callback.save_on_exception)


def allow_clipping(optimizer: Optimizer) -> None:
    """Lets Lightning clip the gradients of a fused optimizer in mixed precision.

    Fused optimizers offer to unscale 16-bit gradients inside their step, so Lightning refuses to clip, in bf16-mixed
    too, where nothing is scaled. Without the offer the gradients are unscaled before they are clipped.
    """
    if hasattr(optimizer, "_step_supports_amp_scaling"):
        optimizer._step_supports_amp_scaling = False


def end_other_processes(trainer: Any) -> None:
    """Ends the processes that Lightning has started for this training, unless they do so themselves.

    They may wait for this one, which is ending, for half an hour.
    """
    deadline = time.monotonic() + PATIENCE
    for process in getattr(trainer.strategy.launcher, "procs", ()):
        if not isinstance(process, subprocess.Popen):  # a forked or spawned one, to which the first belongs, too
            continue
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_children(process.pid)
            process.kill()
            process.wait()


def remade_optimizers(module: Any) -> tuple[list[Any], list[Any]]:
    """A module's optimizers and the configs of their schedulers, made once more."""
    optimizers, configs = _init_optimizers_and_lr_schedulers(module)
    return optimizers, configs


# Checkpoints ----------------------------------------------------------------------------------------------------------


def settle(loop: dict[str, Any], *, validation_due: bool) -> None:
    """Brings the saved state of a fit loop into the form "before an epoch" or "after some batches of an epoch".

    Args:
        loop: `checkpoint["loops"]["fit_loop"]`, changed in place.
        validation_due: in the second form, whether a validation comes next, from its first batch on.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    validation = loop["epoch_loop.val_loop.batch_progress"]
    epoch_is_over = epochs["current"]["processed"] == epochs["current"]["ready"]
    if epoch_is_over:
        for counts in (epochs["total"], epochs["current"]):
            _set(counts, counts["processed"])
        _set(batches["current"], 0)
        batches["is_last_batch"] = False
    else:
        _set(batches["current"], batches["current"]["processed"])
    _set(batches["total"], batches["total"]["processed"])
    _set(validation["current"], 0)
    _set(validation["total"], 0)
    if validation_due and not epoch_is_over:
        # What Lightning has in the middle of an evaluation, but none of its batches is done.
        validation["total"] |= {"ready": 1, "started": 1}


def _set(counts: dict[str, int], value: int) -> None:
    counts.update(dict.fromkeys(counts, value))


def count_steps_alike(loop: dict[str, Any], steps: int) -> None:
    """Sets the saved number of optimizer steps for both ways to optimize, of which a resumed run may take the other."""
    manual = loop["epoch_loop.manual_optimization.optim_step_progress"]["total"]
    automatic = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    for counts in (manual, automatic):
        counts |= {"ready": steps, "completed": steps}


def validation_is_due(trainer: Trainer, validated: bool) -> bool:
    """Whether a validation follows the last training batch and is not over; `validated`: the running one is."""
    if trainer.validating:
        return not validated
    loop = trainer.fit_loop
    batches: Any = loop.epoch_loop.batch_progress
    at_its_end = batches.current.processed > batches.current.completed
    fetcher = loop._data_fetcher
    return at_its_end and fetcher is not None and loop.epoch_loop._should_check_val_fx(fetcher)


def resume_exactly(trainer: Trainer) -> None:
    """Once a training has started: continues inside an epoch only where one was interrupted.

    A loader with `batches_done` (engine/data) counts the position in its own batches, whose size may have changed since
    the checkpoint was saved.
    """
    loop = trainer.fit_loop
    loop._load_combined_loader_states()  # not done yet where a scheduler asked for the number of steps
    loop._restarting = False  # this loop alone: it would leave out an epoch's last scheduler step
    batches: Any = loop.epoch_loop.batch_progress
    if not batches.current.ready:
        loop.epoch_loop.restarting = False
        return
    done = getattr(trainer.train_dataloader, "batches_done", None)
    if done is not None:
        vars(batches.current).update(dict.fromkeys(vars(batches.current), done))
    if loop.epoch_loop._num_ready_batches_reached():
        # All batches are done, but maybe a validation is not. Lightning would ask for another batch without one.
        assert loop._data_fetcher is not None
        loop._data_fetcher.done = True


def metric_states(metrics: MetricCollection | None) -> dict[str, Any]:
    """What has been counted so far, by the metric's name."""
    if metrics is None:
        return {}
    return {name: (metric._update_count, dict(metric.metric_state)) for name, metric in metrics.items()}


def load_metric_states(metrics: MetricCollection | None, states: dict[str, tuple[int, dict[str, Tensor]]]) -> None:
    """Continues counting from what `metric_states` returned."""
    for name, metric in () if metrics is None else metrics.items():
        metric._update_count, values = states[name]
        for state, value in values.items():
            setattr(metric, state, value)


def position(loop: dict[str, Any]) -> tuple[int, bool]:
    """Of `checkpoint["loops"]["fit_loop"]`: how many epochs are over, and whether another one has been begun."""
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]
    has_begun = epochs["ready"] > epochs["processed"] and batches["current"]["ready"] > 0
    return epochs["processed"], has_begun and not batches["is_last_batch"]
