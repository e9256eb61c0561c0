from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Batch = Sequence[Tensor]


class Chunk:
    """Several mini-batches for a single training_step, so that the Trainer's per-step overhead is paid only once.

    Not a list, because Lightning would traverse all of its tensors several times.
    """

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def append(self, batch: Batch) -> None:
        self.batches.append(batch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]

    def to(self, device: torch.device, **_: Any) -> "Chunk":
        """The chunk on `device`; Lightning calls this to move objects of types that it does not know."""
        if self.batches[0][0].device == device:
            return self
        moved = Chunk()
        for batch in self.batches:
            moved.append(tuple(tensor.to(device, non_blocking=True) for tensor in batch))
        return moved


def takes_chunks(trainer: Any) -> bool:
    """Whether the trainer's module accepts chunks; True without a trainer."""
    module = getattr(trainer, "lightning_module", None)
    return module is None or getattr(module, "takes_chunks", False)
