"""Detects an unsuitable loss or batch size with the first batch."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import UserError

ABOVE_ZERO = 1e-3  # above any rounding error of a log-probability


def first_loss(loss: Callable[[Tensor, Tensor], Tensor], predictions: Tensor, targets: Tensor) -> Tensor:
    """`loss(predictions, targets)`, a scalar; UserError if the loss expects other predictions or targets."""
    name = type(loss).__name__
    given = f"outputs {_described(predictions)} and targets {_described(targets)}"
    if isinstance(loss, nn.NLLLoss) and float(predictions.detach().max()) > ABOVE_ZERO:
        raise UserError(
            f"loss: {name} takes log-probabilities, which are never positive, but the network's outputs reach "
            f"{float(predictions.detach().max()):.3g}: give loss=cross_entropy, or a network that ends in log_softmax."
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "error", message="Using a target size"
            )  # torch would broadcast, giving a wrong loss
            value = loss(predictions, targets)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, UserWarning) as error:
        if "memory" in str(error).lower():
            raise
        cause = str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(
            f"loss: {name} cannot compare {given} ({cause}): give another loss or lightning_module."
        ) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UserError(f"loss: {name} gives {shape} for a batch, not one number: give loss.reduction=mean or sum.")
    return value


def _described(tensor: Any) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}" if isinstance(tensor, Tensor) else "?"


@contextmanager
def small_batch(trainer: Any) -> Iterator[None]:
    """UserError if BatchNorm gets a single value per channel in training."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        size = getattr(getattr(trainer, "datamodule", None), "batch_size", "?")
        raise UserError(
            f"datamodule.batch_size={size}: this batch has one example, and BatchNorm cannot train on a single value "
            "per channel: give a size that leaves no remainder of one, or lightning_module.freeze_batchnorm=true."
        ) from error
