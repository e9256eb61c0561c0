from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Batch = Sequence[Tensor]


class Chunk:
    """Several mini-batches that one training_step works through, so that the Trainer's cost a step is paid once.

    Not a list: Lightning would walk through all of its tensors, several times.
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
        """Itself, where it is there already; this is how Lightning moves what it does not know."""
        if self.batches[0][0].device == device:
            return self
        moved = Chunk()
        for batch in self.batches:
            moved.append(tuple(tensor.to(device, non_blocking=True) for tensor in batch))
        return moved


def takes_chunks(trainer: Any) -> bool:
    """Whether the module that is trained works through chunks; a loader that no Trainer asks for hands them out."""
    module = getattr(trainer, "lightning_module", None)
    return module is None or getattr(module, "takes_chunks", False)
