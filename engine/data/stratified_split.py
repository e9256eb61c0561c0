import torch
from torch import Tensor

from engine.data.keyed import keyed_generator
from engine.errors import DataError


def stratified_split(labels: Tensor, val_size: int | float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and the validation examples, each in ascending order, drawn with `seed`.

    `val_size` is the part of labels (N,) used for validation, as in scikit-learn's train_test_split:

    - int: the number of examples, 0 to N. Each class contributes in proportion: the shares are rounded down, then the
      classes with the largest remainders contribute one more (ties: the lower label first).
    - float: the fraction of each class, between 0 and 1, rounded; at least one example of each class on either side.

    Raises DataError if `val_size` is out of range, or if it is a float and a class has only one example.
    """
    counts = _of_number(labels, val_size) if isinstance(val_size, int) else _of_share(labels, val_size)
    order = torch.randperm(len(labels), generator=keyed_generator(seed))
    is_val = torch.zeros(len(labels), dtype=torch.bool)
    for label, count in enumerate(counts.tolist()):
        is_val[order[labels[order] == label][:count]] = True
    return (~is_val).nonzero().flatten(), is_val.nonzero().flatten()


def _of_number(labels: Tensor, val_size: int) -> Tensor:
    """Number of validation examples per class, `val_size` in total."""
    if not 0 <= val_size <= len(labels):
        raise DataError(f"A split of {val_size} examples cannot be drawn from {len(labels)}: give 0 to {len(labels)}.")
    shares = torch.bincount(labels).double() * val_size / max(1, len(labels))
    counts = shares.floor().long()
    counts[(shares - counts).argsort(descending=True, stable=True)[: val_size - int(counts.sum())]] += 1
    return counts


def _of_share(labels: Tensor, share: float) -> Tensor:
    """Number of validation examples per class."""
    if not 0 < share < 1:
        raise DataError(f"A fraction of {share} cannot be split off: give datamodule.val_fraction between 0 and 1.")
    sizes = torch.bincount(labels)
    if (sizes == 1).any():
        label = int((sizes == 1).nonzero()[0])
        raise DataError(f"Class {label} has only one example, but training and validation need one each.")
    return (sizes.double() * share).round().long().clamp(min=1).minimum(sizes - 1).clamp(min=0)
