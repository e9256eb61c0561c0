"""All uses of private names of Lightning and torchmetrics; no other file may use any.

tests/engine/training/test_lightning_internals.py checks them against the installed release.
"""

import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_fabric.utilities.data import _set_sampler_epoch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
from pytorch_lightning.core.optimizer import _init_optimizers_and_lr_schedulers
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric, _Sync
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection

from engine.process.stop import kill_children

PATIENCE = 3.0  # seconds

RESTORING = ("_restore_modules_and_callbacks", "restore_training_state")
"""Functions of Lightning's checkpoint connector that use a checkpoint's content."""

LOGGED = (
    *("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph", "add_dataloader_idx"),
    *("dataloader_idx", "metric_attribute"),
)
"""Arguments of `self.log` as Lightning keeps them."""

REDUCTIONS: dict[str, Any] = {
    **{name: getattr(torch, name) for name in ("mean", "sum", "min", "max")},
    **{f"builtins.{function.__name__}": function for function in (sum, min, max)},
}

REDUCTION_NAMES = {function: name for name, function in REDUCTIONS.items()}

# Steps ----------------------------------------------------------------------------------------------------------------


def add_steps(trainer: Trainer, steps: int) -> None:
    """Adds optimizer steps that bypassed Lightning's optimizer wrapper to `trainer.global_step`."""
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    progress.total.ready += steps
    progress.total.completed += steps


def gradients_are_unfinished(trainer: Trainer) -> bool:
    """Whether the gradients of the last batch are accumulated and await an optimizer step."""
    return trainer.fit_loop._should_accumulate()


def looks_within_batches(trainer: Any) -> str | None:
    """A Trainer setting, `name=value`, that makes Lightning act within steps or by time; None if there is none."""
    if trainer._detect_anomaly:
        return "detect_anomaly=true"
    if getattr(trainer, "_val_check_time_interval", None) is not None:
        return "val_check_interval as a time"
    if not isinstance(trainer.profiler, PassThroughProfiler):
        return f"profiler={type(trainer.profiler).__name__}"
    return None


def saves_within_epochs(callback: ModelCheckpoint) -> bool:
    """Whether a ModelCheckpoint also saves within epochs: by steps, by time or on exceptions."""
    by_time = callback._train_time_interval is not None
    return callback._every_n_train_steps > 0 or by_time or bool(callback.save_on_exception)


def allow_clipping(optimizer: Optimizer) -> None:
    """Lets Lightning clip the gradients of a fused optimizer in mixed precision.

    Fused optimizers can unscale gradients inside their step, so Lightning refuses to clip them, even in bf16-mixed,
    where nothing is scaled. Without that capability, gradients are unscaled before they are clipped.
    """
    if hasattr(optimizer, "_step_supports_amp_scaling"):
        optimizer._step_supports_amp_scaling = False


def end_other_processes(trainer: Any) -> None:
    """Ends the processes that Lightning has started for this training, unless they do so themselves.

    They may wait for this one, which is ending, for half an hour.
    """
    deadline = time.monotonic() + PATIENCE
    started = getattr(trainer.strategy.launcher, "procs", [])
    # Not the forked or spawned ones, to which this process belongs, too.
    others = [process for process in started if isinstance(process, subprocess.Popen)]
    for process in others:
        started.remove(process)  # or Lightning's observer kills this process, too, once one of them was killed
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_children(process.pid)
            process.kill()
            process.wait()


def remade_optimizers(module: Any) -> tuple[list[Any], list[Any]]:
    """Builds a module's optimizers and the configs of their schedulers again."""
    optimizers, configs = _init_optimizers_and_lr_schedulers(module)
    return optimizers, configs


# Checkpoints ----------------------------------------------------------------------------------------------------------


def swap_averaged_weights(trainer: Trainer) -> None:
    """Swaps the averaged weights that WeightAveraging puts into the module for a validation with the trained ones."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging) and callback._average_model is not None:
            callback._swap_models(trainer.lightning_module)


def validation_is_due(trainer: Trainer, validated: bool) -> bool:
    """Whether a validation comes next; `validated`: whether there was a whole one since the last training batch."""
    epoch, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    has_begun = epoch.batch_progress.current.ready > 0
    return has_begun and not validated and fetcher is not None and epoch._should_check_val_fx(fetcher)


def resume_exactly(trainer: Trainer) -> int:
    """Called after training has started: continues inside an epoch only if one was interrupted.

    Returns the number of batches of that epoch that were trained on, 0 if an epoch starts.

    A loader with `batches_done` (engine/data) counts the position in its own batches, whose size may have changed
    since the checkpoint was saved.
    """
    loop = trainer.fit_loop
    loop._load_combined_loader_states()  # not done yet if a scheduler asked for the number of steps
    loop._restarting = False  # only this loop, which would skip an epoch's last scheduler step
    batches: Any = loop.epoch_loop.batch_progress
    _count_reloads(trainer, within=bool(batches.current.ready))
    if not batches.current.ready:
        loop.epoch_loop.restarting = False
        return 0
    done = getattr(trainer.train_dataloader, "batches_done", None)
    if done is not None:
        vars(batches.current).update(dict.fromkeys(vars(batches.current), done))
    trainer._logger_connector._first_loop_iter = True  # or Lightning would forget what the epoch has logged
    if loop.epoch_loop._num_ready_batches_reached():
        # All batches are done, but a validation may be due. Lightning would ask for another batch.
        assert loop._data_fetcher is not None
        loop._data_fetcher.done = True
    return int(batches.current.ready)


def _count_reloads(trainer: Any, *, within: bool) -> None:
    """Makes `reload_dataloaders_every_n_epochs` count from the first epoch, not from the first after resuming."""
    loop, every = trainer.fit_loop, trainer.reload_dataloaders_every_n_epochs
    if every:
        last = trainer.current_epoch // every * every
        loop.epoch_loop.val_loop._last_val_dl_reload_epoch = last
        loop._last_train_dl_reload_epoch = last if within or last < trainer.current_epoch else last - every


def step_plateau_schedulers(trainer: Trainer) -> None:
    """Steps each ReduceLROnPlateau that follows batches, as Lightning does after the save at a batch's end."""
    trainer.fit_loop.epoch_loop.update_lr_schedulers("step", update_plateau_schedulers=True)


# The end of batches and epochs, and passes over the data --------------------------------------------------------------


def after_batches(trainer: Trainer, callback: Callback, action: Callable[[], None]) -> None:
    """Calls `action` after each training batch, when all hooks have run and its values are logged, before a validation.

    Not while `callback` is off: Lightning's tuners replace the Trainer's callbacks for their trials.
    """
    loop: Any = trainer.fit_loop.epoch_loop

    def on_advance_end(fetcher: Any) -> None:
        if callback in trainer.callbacks:  # type: ignore[attr-defined]
            action()
        type(loop).on_advance_end(loop, fetcher)

    loop.on_advance_end = on_advance_end


def after_epochs(trainer: Trainer, callback: Callback, action: Callable[[], None]) -> None:
    """Calls `action` after each epoch, when all hooks have run, its values are logged and all schedulers are stepped.

    `trainer.current_epoch` is the number of finished epochs then. `callback`: as in `after_batches`.
    """
    loop: Any = trainer.fit_loop

    def on_advance_end() -> None:
        type(loop).on_advance_end(loop)
        if callback in trainer.callbacks:  # type: ignore[attr-defined]
            action()

    loop.on_advance_end = on_advance_end


def before_passes(
    trainer: Trainer, first: Callable[[], None], next_one: Callable[[], None], validation: Callable[[], None]
) -> None:
    """Calls `first` before Lightning gets the training loaders and starts their first pass, `next_one` before each
    later pass, and `validation` before each validation.
    """
    loop: Any = trainer.fit_loop
    epoch = loop.epoch_loop

    def setup_data() -> None:
        if loop._combined_loader is None:
            first()
        type(loop).setup_data(loop)

    def on_run_start(fetcher: Any) -> None:
        if trainer.current_epoch > 0 and not loop.is_resuming and not epoch.restarting:
            next_one()
        type(epoch).on_run_start(epoch, fetcher)

    def run() -> Any:
        validation()
        return type(epoch.val_loop).run(epoch.val_loop)

    loop.setup_data, epoch.on_run_start, epoch.val_loop.run = setup_data, on_run_start, run


def training_loaders(trainer: Trainer) -> list[Any]:
    """The loaders of the training data; none before Lightning has asked for them."""
    combined = trainer.fit_loop._combined_loader
    return [] if combined is None else list(combined.flattened)


def skip_batches(trainer: Trainer, *, restart: bool) -> None:
    """Reads and drops the batches that the epoch has trained on; with `restart`, from the start of a new pass."""
    loop = trainer.fit_loop
    fetcher, batches = loop._data_fetcher, loop.epoch_loop.batch_progress.current.ready
    assert fetcher is not None
    if restart:
        for loader in training_loaders(trainer):
            _set_sampler_epoch(loader, trainer.current_epoch)
        iter(fetcher)
    for _ in range(batches):
        if next(fetcher, None) is None:
            break
    fetcher.fetched -= batches  # Lightning adds them
    fetcher.done |= loop.epoch_loop._num_ready_batches_reached()


def start_new_pass(trainer: Trainer) -> None:
    """Makes Lightning start a new pass over the data in the first epoch after resuming, as it does in all others."""
    trainer.fit_loop._resuming_from_checkpoint = False


# Logged values and metrics --------------------------------------------------------------------------------------------


def logged_values(trainer: Trainer) -> dict[str, Any]:
    """Each value that this epoch's training has logged: the arguments of `self.log`, and the sum or mean so far."""
    return {key: _saved(result) for key, result in trainer.fit_loop.epoch_loop._results.items()}


def _saved(result: _ResultMetric) -> dict[str, Any]:
    meta, sync = result.meta, result.meta.sync
    return {
        "settings": {name: getattr(meta, name) for name in LOGGED},
        "reduction": REDUCTION_NAMES[meta.reduce_fx],
        "sync": {"_should": sync.should, "_op": sync.op, "rank_zero_only": sync.rank_zero_only},
        "state": dict(result.metric_state) if result.is_tensor else None,
        "last": result._forward_cache,
        "updates": result._update_count,
        "is_over": result.has_reset,
    }


def load_logged_values(trainer: Trainer, module: LightningModule, saved: dict[str, Any]) -> None:
    """Continues with the result of `logged_values`."""
    results = trainer.fit_loop.epoch_loop._results
    for key, entry in saved.items():
        is_tensor = entry["state"] is not None
        meta = _Metadata(**entry["settings"], reduce_fx=REDUCTIONS[entry["reduction"]])
        meta.sync = _Sync(fn=trainer.strategy.reduce, **entry["sync"])
        result = _ResultMetric(meta, is_tensor)
        result._forward_cache, result._update_count = entry["last"], entry["updates"]
        result.has_reset = entry["is_over"]
        for name in result.metric_state:
            setattr(result, name, entry["state"][name])
        if not is_tensor:
            result.value = module.get_submodule(entry["settings"]["metric_attribute"])
        results[key] = result.to(module.device)


def metric_states(metrics: Mapping[str, Metric] | MetricCollection | None) -> dict[str, Any]:
    """The accumulated state of each metric, by its name."""
    return {name: (metric._update_count, dict(metric.metric_state)) for name, metric in (metrics or {}).items()}


def load_metric_states(metrics: Mapping[str, Metric] | MetricCollection | None, states: Mapping[str, Any]) -> None:
    """Restores the result of `metric_states`. KeyError for a metric or a part of its state that is missing there."""
    for name, metric in (metrics or {}).items():
        metric._update_count, values = states[name]
        for state in metric.metric_state:
            setattr(metric, state, values[state])
