"""Saves what Lightning's checkpoints lack, so that any LightningModule resumes exactly on any data."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, StochasticWeightAveraging, WeightAveraging
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from engine.checkpoints.alike import modified
from engine.checkpoints.generators import generator_states, restore_generators
from engine.checkpoints.modes import Modes, modes_off, turn_on, turned_on
from engine.errors import printable
from engine.training.accounted_module import AccountedModule
from engine.training.each_process import of_each_process, of_this_process
from engine.training.lightning_internals import (
    before_passes,
    gradients_are_unfinished,
    load_logged_values,
    load_metric_states,
    logged_values,
    metric_states,
    resume_exactly,
    skip_batches,
    start_new_pass,
    step_plateau_schedulers,
    training_loaders,
    validation_is_due,
)
from engine.training.loop_state import count_steps_alike, settle

logger = logging.getLogger(__name__)

NO_PASS: dict[str, Any] = {"pass": {}, "validation_due": True}
"""For checkpoints of earlier commits, which have neither."""

WRONG_KINDS = (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError)


class ExactState(Callback):
    """Saves and restores random generators, accumulated gradients, metrics, the values of `self.log`, what a
    callback has unfrozen, and the position in the training data. A validation that was interrupted is repeated.

    A data loader without `state_dict` is rewound: the generators return to their states at the start of the pass, and
    the batches that the epoch has trained on are read and dropped. Two things are not restored: a module's plain
    attributes, and the generators of persistent workers.
    """

    follows_chunks = True  # engine/training/steps/chunks.py

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None
        self._pass: dict[str, Any] = {}  # the generators at the start of this pass over the training data
        self._validated = False
        self._before_validation: dict[str, Any] = {}
        self._off: Modes | None = None  # what was frozen at the start of the training
        self._turned_on: list[str] = []  # what no longer was when the checkpoint was saved

    # What happens during a training ----------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self._off, self._turned_on = None, []

        def first() -> None:
            with _restoring():
                if self._saved is not None and self._saved["pass"].get("is_first"):
                    restore_generators(self._saved["pass"])
            self._pass = generator_states() | {"is_first": True}

        def next_one() -> None:
            self._pass = generator_states(_owners(trainer)) | {"is_first": False}

        def validation() -> None:
            self._validated, self._before_validation = False, self._state(trainer)

        before_passes(trainer, first, next_one, validation)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._begin(pl_module)
        self._validated = False

    def _begin(self, module: LightningModule) -> None:
        """Unfreezes what had been unfrozen, after everyone's on_train_start, where many freeze the first layers."""
        if self._off is None:
            self._off = modes_off(module)
            with _restoring():
                turn_on(self._off, self._turned_on)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = not trainer.sanity_checking

    # Saving ----------------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        loop, accumulating = checkpoint["loops"]["fit_loop"], gradients_are_unfinished(trainer)
        validation_due = validation_is_due(trainer, self._validated)
        settle(loop, validation_due=validation_due, accumulating=accumulating)
        epochs = loop["epoch_progress"]["current"]
        if epochs["processed"] == epochs["ready"] > 0:
            checkpoint["epoch"] = epochs["processed"] - 1  # as in a checkpoint saved before the epoch was counted
        if not trainer.validating or not self._before_validation:
            state = self._state(trainer)
        elif self._validated:
            state = self._before_validation | {"random": generator_states(_owners(trainer))}
        else:
            state = self._before_validation
        named = pl_module.named_parameters() if accumulating else ()
        gradients = {name: parameter.grad for name, parameter in named if parameter.grad is not None}
        state = state | {"pass": self._pass, "validation_due": validation_due, "gradients": gradients}
        state["accumulated"] = trainer.accumulate_grad_batches  # GradientAccumulationScheduler changes it
        checkpoint["exact"] = of_each_process(state)

    def _state(self, trainer: Trainer) -> dict[str, Any]:
        state: dict[str, Any] = {"random": generator_states(_owners(trainer))}
        module = trainer.lightning_module
        state["modes"] = self._turned_on if self._off is None else turned_on(self._off)
        if not isinstance(module, AccountedModule):  # which keeps its own account
            own = {"metrics": metric_states(_metrics(module)), "logged": logged_values(trainer)}
            state |= apply_to_collection(own | {"latest": dict(trainer.callback_metrics)}, Tensor, _copy)
        return state

    # Resuming --------------------------------------------------------------------------------------------------------

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        count_steps_alike(checkpoint["loops"]["fit_loop"], checkpoint["global_step"])
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint.get("callbacks", {}).get(callback.state_key, {})
            if isinstance(callback, ModelCheckpoint) and "current_score" in state:
                callback.current_score = state["current_score"]  # which Lightning saves, but does not restore
        saved = of_this_process(checkpoint.get("exact"))
        if saved is not None and not saved["pass"]:  # no training had begun: a tuner returns to its start
            return
        if saved is None and isinstance(pl_module, AccountedModule):  # of an earlier commit
            random, procedure = (of_this_process(checkpoint.get(key)) for key in ("random", "procedure"))
            saved = {"random": random, "gradients": procedure["gradients"], **NO_PASS}
        self._saved = saved

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        saved, self._saved = self._saved, None
        if saved is None:
            return
        with _restoring():
            self._resume(trainer, pl_module, saved)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._saved is None:
            return
        # No epoch was left: neither on_train_start nor on_train_end was called.
        with _restoring():
            trainer.callback_metrics.update(self._saved.get("latest", {}))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging) or _averages_to_the_end(callback, pl_module):
                callback.on_train_end(trainer, pl_module)

    def _resume(self, trainer: Trainer, module: LightningModule, saved: dict[str, Any]) -> None:
        self._turned_on = saved.get("modes", [])
        batches = resume_exactly(trainer)
        if not any(hasattr(loader, "state_dict") for loader in training_loaders(trainer)):
            self._find_position(trainer, saved, batches)
        for name, gradient in saved["gradients"].items():
            parameter = module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)
        if not isinstance(module, AccountedModule):
            known = {name: metric for name, metric in _metrics(module).items() if name in saved["metrics"]}
            load_metric_states(known, saved["metrics"])
            for metric in known.values():
                metric.to(metric.device)  # with its state, which was loaded to the CPU
            load_logged_values(trainer, module, saved["logged"])
            trainer.callback_metrics.update(saved["latest"])
        if batches and "accumulated" in saved:
            trainer.accumulate_grad_batches = saved["accumulated"]
        if batches:
            _begin_averaging(trainer, module)
        if batches and not saved["validation_due"]:
            step_plateau_schedulers(trainer)
        if saved["random"] is not None:
            restore_generators(saved["random"], _owners(trainer))

    def _find_position(self, trainer: Trainer, saved: dict[str, Any], batches: int) -> None:
        if not batches:
            start_new_pass(trainer)
            return
        if not saved["pass"]:
            return
        logger.info("The data loader has no state_dict: reading %d batches again to skip them.", batches)
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
        self._pass = saved["pass"]
        if not self._pass["is_first"]:
            restore_generators(self._pass, _owners(trainer))
        skip_batches(trainer, restart=not self._pass["is_first"])


def _owners(trainer: Any) -> list[Any]:
    """Who may hold random generators of their own."""
    return [*training_loaders(trainer), trainer.lightning_module, trainer.datamodule]


def _begin_averaging(trainer: Trainer, module: LightningModule) -> None:
    """Begins StochasticWeightAveraging's epoch: Lightning does not call on_train_epoch_start again inside an epoch."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, StochasticWeightAveraging):
            weights = {name: value.clone() for name, value in module.state_dict().items()}
            callback.on_train_epoch_start(trainer, module)
            module.load_state_dict(weights)  # BatchNorm's statistics, which it resets in its last epoch


def _averages_to_the_end(callback: Callback, module: LightningModule) -> bool:
    """Whether it puts its averaged weights into the module at the end (and not before, to pass all data through it)."""
    return isinstance(callback, StochasticWeightAveraging) and not callback.pl_module_contains_batch_norm(module)


@contextmanager
def _restoring() -> Iterator[None]:
    """Turns errors from a state of the wrong form into UserErrors."""
    try:
        yield
    except WRONG_KINDS as error:
        raise modified(f"The checkpoint's state of the training cannot be restored ({printable(error)})") from error


def _metrics(module: LightningModule) -> dict[str, Metric]:
    for collection in module.modules():
        if isinstance(collection, MetricCollection):
            collection.items()  # gives each of its metrics the state that they share
    return {name: metric for name, metric in module.named_modules() if isinstance(metric, Metric)}


def _copy(tensor: Tensor) -> Tensor:
    """A validation may change the original in place."""
    return tensor.detach().clone()
