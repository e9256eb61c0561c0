"""When mini-batches may reach a procedure in chunks: only where nothing could notice.

Lightning sees a chunk as one batch: it counts, calls its hooks and stops by chunks, which makes no difference only to
parts that know about them. Such a class says so in its own body, `follows_chunks = True`; what a subclass overrides
beyond that is taken to look at single batches.
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
"""A hook with one of these in its name is called neither around nor between training batches."""

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
    callbacks.ProgressBar,  # the base alone: the bars themselves count batches
)
"""Lightning's own callbacks that neither count batches nor look at them."""


def single_steps_because(trainer: Trainer, module: LightningModule, datamodule: Any) -> str | None:
    """Why a datamodule with chunks hands out single mini-batches in this training; None: it does not, or has none."""
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
    """Trainer settings that count batches, or that act on each of them."""
    plain = {
        "accumulate_grad_batches": (1,),
        "gradient_clip_val": (None, 0),
        "val_check_interval": (None, 1.0),
        "overfit_batches": (0,),
        "limit_train_batches": (None, 1.0),
        "min_steps": (None,),
    }
    for name, values in plain.items():
        value = getattr(trainer, name)
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
    """Chunks step an optimizer without a closure, as those of torch allow, except LBFGS."""
    kind = getattr(factory, "func", factory)
    name = getattr(kind, "__name__", type(kind).__name__)
    if not (isinstance(kind, type) and issubclass(kind, Optimizer) and kind.__module__.startswith("torch.optim.")):
        return f"{name} is not one of torch's optimizers"
    closure = inspect.signature(kind.step).parameters.get("closure")
    return f"{name} needs a closure" if closure is not None and closure.default is closure.empty else None


def _notices(callback: Callback) -> str | None:
    """The training hook of a callback that may look at batches, if any."""
    if isinstance(callback, callbacks.ModelCheckpoint):
        following: tuple[type, ...] = () if saves_within_epochs(callback) else (callbacks.ModelCheckpoint,)
    else:
        following = FOLLOWING
    return _overridden(callback, CALLBACK_HOOKS, following)


def _overridden(part: Any, names: Any, following: tuple[type, ...] = ()) -> str | None:
    """The first of the hooks that a class without `follows_chunks = True` has overridden, or the object itself."""
    for name in names:
        owner = next((kind for kind in type(part).__mro__ if name in vars(kind)), None)
        known = owner is None or owner in following or vars(owner).get("follows_chunks", False)
        if name in vars(part) or not (known or owner in PLAIN):
            return str(name)
    return None


PLAIN = (Callback, *LightningModule.__mro__, *LightningDataModule.__mro__, DataHooks, torch.nn.Module, object)
