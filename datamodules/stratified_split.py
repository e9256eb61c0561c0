import torch
from torch import Tensor

from functional.keyed import keyed_generator


def stratified_split(labels: Tensor, val_size: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the `val_size` validation examples, each in ascending order, drawn with `seed`.

    Every class gives its share of labels (N,), to within one example: the shares are rounded down, and the classes with
    the largest remainders give one more (the first of equals). ValueError unless 0 ≤ val_size ≤ N.
    """
    if not 0 <= val_size <= len(labels):
        raise ValueError(f"val_size {val_size} is not between 0 and the {len(labels)} examples")
    shares = torch.bincount(labels).double() * val_size / max(1, len(labels))
    counts = shares.floor().long()
    counts[(shares - counts).argsort(descending=True, stable=True)[: val_size - int(counts.sum())]] += 1

    order = torch.randperm(len(labels), generator=keyed_generator(seed))
    is_val = torch.zeros(len(labels), dtype=torch.bool)
    for label, count in enumerate(counts.tolist()):
        is_val[order[labels[order] == label][:count]] = True
    return (~is_val).nonzero().flatten(), is_val.nonzero().flatten()
