import torch
from torch import Tensor

from engine.data.keyed import keyed_generator
from engine.errors import DataError


def stratified_folds(labels: Tensor, num_folds: int, *, seed: int, repeat: int) -> Tensor:
    """Assigns a fold, 0 to `num_folds` - 1, to each example with labels (N,); the draw is keyed by (seed, repeat).

    The sizes of the folds, and the number of examples of each class in them, differ by at most one.

    Raises:
        DataError: there are fewer than two folds, or more folds than examples in the smallest class.
    """
    smallest = int(labels.bincount().min())
    if not 2 <= num_folds <= smallest:
        raise DataError(
            f"num_folds is {num_folds}: give at least 2, and at most {smallest}, the size of the smallest class."
        )
    shuffled = torch.randperm(len(labels), generator=keyed_generator(seed, repeat))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    folds = torch.empty_like(by_class)
    folds[by_class] = torch.arange(len(labels)) % num_folds  # dealt out in turn, one class after the other
    return folds
