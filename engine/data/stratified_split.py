import torch
from torch import Tensor

from engine.data.keyed import keyed_generator
from engine.errors import DataError


def stratified_split(labels: Tensor, val_size: int | float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation examples, each in ascending order, drawn with `seed`.

    `val_size` says what of labels (N,) goes to validation, as scikit-learn's train_test_split has it:

    - an int: that many, 0 to N. Every class gives its share, to within one example: the shares are rounded down, and
      the classes with the largest remainders give one more (the first of equals).
    - a float: that share of each class, between 0 and 1, rounded; but each gives one at least, and keeps one at least.

    Raises DataError for a `val_size` out of these ranges, and for a class of a single example where a share is given.
    """
    counts = _of_number(labels, val_size) if isinstance(val_size, int) else _of_share(labels, val_size)
    order = torch.randperm(len(labels), generator=keyed_generator(seed))
    is_val = torch.zeros(len(labels), dtype=torch.bool)
    for label, count in enumerate(counts.tolist()):
        is_val[order[labels[order] == label][:count]] = True
    return (~is_val).nonzero().flatten(), is_val.nonzero().flatten()


def _of_number(labels: Tensor, val_size: int) -> Tensor:
    """How many examples each class gives, `val_size` in all."""
    if not 0 <= val_size <= len(labels):
        raise DataError(f"A split of {val_size} examples cannot be drawn from {len(labels)}: give 0 to {len(labels)}.")
    shares = torch.bincount(labels).double() * val_size / max(1, len(labels))
    counts = shares.floor().long()
    counts[(shares - counts).argsort(descending=True, stable=True)[: val_size - int(counts.sum())]] += 1
    return counts


def _of_share(labels: Tensor, share: float) -> Tensor:
    """How many examples each class gives."""
    if not 0 < share < 1:
        raise DataError(f"A share of {share} cannot be split off: give datamodule.val_fraction between 0 and 1.")
    sizes = torch.bincount(labels)
    if (sizes == 1).any():
        label = int((sizes == 1).nonzero()[0])
        raise DataError(f"Class {label} has a single example, where training and validation need one each.")
    return (sizes.double() * share).round().long().clamp(min=1).minimum(sizes - 1).clamp(min=0)
