"""Training on classes of different sizes."""

import torch
from torch import Tensor


def random_order(size: int, balanced_by: Tensor | None, generator: torch.Generator) -> Tensor:
    """A random permutation of `size` indices or, if labels `balanced_by` (size,) are given, a class-balanced order."""
    return torch.randperm(size, generator=generator) if balanced_by is None else balanced_order(balanced_by, generator)


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """N random indices into labels (N,), N / K (rounded) for each of the K classes that occur.

    An example is repeated only after all others of its class. A class with more examples than its share is subsampled,
    differently in each epoch.
    """
    classes = labels.unique()
    parts = []
    for position, label in enumerate(classes.tolist()):
        of_class = (labels == label).nonzero().flatten()
        share = len(labels) // len(classes) + (position < len(labels) % len(classes))
        rounds = [
            of_class[torch.randperm(len(of_class), generator=generator)] for _ in range(-(-share // len(of_class)))
        ]
        parts.append(torch.cat(rounds)[:share])
    indices = torch.cat(parts)
    return indices[torch.randperm(len(indices), generator=generator)]


def balanced_weights(labels: Tensor, num_classes: int) -> list[float]:
    """Loss weight N / (K · n_c) for each class c with n_c of the N labels; the mean over the examples is 1."""
    counts = torch.bincount(labels, minlength=num_classes)
    return [round(len(labels) / (num_classes * count), 6) for count in counts.tolist()]
