"""Decides whether mini-batches may be passed to a procedure in chunks: only if nothing could notice.

Lightning treats a chunk as one batch in its counters, hooks and limits, so every part must support chunks. A class
declares that in its own body with `follows_chunks = True`; hooks that its subclasses override are assumed to need
single batches.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer, callbacks
from pytorch_lightning.core.hooks import DataHooks, ModelHooks
from pytorch_lightning.plugins import MixedPrecision, Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.optim import Optimizer

from engine.training.lightning_internals import looks_within_batches, saves_within_epochs

OUTSIDE_TRAINING = ("validation", "test", "predict", "sanity_check", "_checkpoint", "teardown", "state_dict")
"""Hooks with one of these in their names are not called around or between training batches."""

CALLBACK_HOOKS = [
    name
    for name, member in vars(Callback).items()
    if inspect.isfunction(member) and not name.startswith("_") and not any(part in name for part in OUTSIDE_TRAINING)
]

BATCH_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")

MODULE_HOOKS = [
    *(name for name in vars(ModelHooks) if name.startswith("on_") and not any(p in name for p in OUTSIDE_TRAINING)),
    *BATCH_HOOKS,
    *("training_step", "compute", "configure_optimizers", "optimizer_step", "optimizer_zero_grad", "backward"),
    *("lr_scheduler_step", "configure_gradient_clipping", "log", "log_dict"),
]

FOLLOWING = (
    *(callbacks.EarlyStopping, callbacks.ModelSummary, callbacks.BaseFinetuning, callbacks.BackboneFinetuning),
    callbacks.ProgressBar,  # only the base class: actual bars count batches
)
"""Lightning's callbacks that neither count nor examine batches."""


def single_steps_because(trainer: Trainer, module: LightningModule, datamodule: Any) -> str | None:
    """Why a datamodule with chunks provides single mini-batches in this training; None if it has or uses chunks."""
    if getattr(datamodule, "chunk", 1) == 1:
        return None
    return next(_reasons(trainer, module, datamodule), None)


def _reasons(trainer: Trainer, module: LightningModule, datamodule: Any) -> Iterator[str]:
    if not hasattr(module, "takes_chunks"):
        yield f"{type(module).__name__} is not a Procedure"
        return
    yield from _settings(trainer)
    if reason := _optimizer(getattr(module, "optimizer", None)):
        yield reason
    if name := _overridden(module, MODULE_HOOKS):
        yield f"{type(module).__name__}.{name} may look at single batches"
    if name := _overridden(datamodule, BATCH_HOOKS):
        yield f"{type(datamodule).__name__}.{name} looks at single batches"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if name := _notices(callback):
            yield f"{type(callback).__name__}.{name} may look at single batches"


def _settings(trainer: Any) -> Iterator[str]:
    """Trainer settings that count batches or act on each of them."""
    plain = {
        "accumulate_grad_batches": (1,),
        "gradient_clip_val": (None, 0),
        "val_check_interval": (None, 1.0),
        "overfit_batches": (0,),
        "limit_train_batches": (None, 1.0),
        "min_steps": (None,),
    }
    for name, values in plain.items():
        value = getattr(trainer, name, None)  # if validations are timed, there is no val_check_interval
        if value not in values or (isinstance(value, int) and name in ("limit_train_batches", "val_check_interval")):
            yield f"trainer.{name}={value}"
    if trainer.check_val_every_n_epoch is None:
        yield "trainer.check_val_every_n_epoch=null"
    if trainer.precision not in ("32-true", "bf16-mixed") or type(trainer.precision_plugin) not in (
        Precision,
        MixedPrecision,
    ):
        yield f"trainer.precision={trainer.precision}"
    if type(trainer.strategy) is not SingleDeviceStrategy:
        yield f"trainer.strategy={type(trainer.strategy).__name__}"
    if setting := looks_within_batches(trainer):
        yield f"trainer.{setting}"


def _optimizer(factory: Any) -> str | None:
    """Chunks call `optimizer.step()` without a closure, which all of torch's optimizers except LBFGS support."""
    kind = getattr(factory, "func", factory)
    name = getattr(kind, "__name__", type(kind).__name__)
    if not (isinstance(kind, type) and issubclass(kind, Optimizer) and kind.__module__.startswith("torch.optim.")):
        return f"{name} is not one of torch's optimizers"
    closure = inspect.signature(kind.step).parameters.get("closure")
    return f"{name} needs a closure" if closure is not None and closure.default is closure.empty else None


def _notices(callback: Callback) -> str | None:
    """A callback's training hook that may need single batches; None if there is none."""
    if isinstance(callback, callbacks.ModelCheckpoint):
        following: tuple[type, ...] = () if saves_within_epochs(callback) else (callbacks.ModelCheckpoint,)
    else:
        following = FOLLOWING
    return _overridden(callback, CALLBACK_HOOKS, following)


def _overridden(part: Any, names: Any, following: tuple[type, ...] = ()) -> str | None:
    """The first hook overridden by the object or by a class without `follows_chunks = True`."""
    for name in names:
        owner = next((kind for kind in type(part).__mro__ if name in vars(kind)), None)
        known = owner is None or owner in following or vars(owner).get("follows_chunks", False)
        if name in vars(part) or not (known or owner in PLAIN):
            return str(name)
    return None


PLAIN = (Callback, *LightningModule.__mro__, *LightningDataModule.__mro__, DataHooks, torch.nn.Module, object)
