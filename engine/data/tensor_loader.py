from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from engine.data.balance import random_order
from engine.data.chunk import Batch, Chunk
from engine.data.keyed import keyed_generator

Transform = Callable[[Tensor, Tensor, int], Tensor]

# Inputs are gathered and transformed in blocks of this size, and mini-batches are views of a block, so the overhead is
# paid per block. On the CPU the float copy, four times as large, should fit in the cache; on a GPU only launches count.
BLOCK_BYTES = {"cpu": 2 << 20, "cuda": 32 << 20}


class TensorDataLoader:
    """Mini-batches of tensors that are held in memory or on a device, with no per-item and little per-batch overhead.

    Each iteration yields one epoch. The order is randperm(seed, epoch), and the transform receives each input's index
    and the epoch, so neither chunking nor resuming changes the data. The Trainer calls `set_epoch`; `state_dict` and
    `load_state_dict` allow resuming inside an epoch.

    Args:
        tensors: inputs (N, …), then targets (N, …) and any others, all on the same device.
        batch_size: examples per mini-batch; the last one may be smaller.
        shuffle: draw a new order each epoch; False: in index order.
        seed: key of the order.
        chunk: mini-batches per `Chunk` (the last may hold fewer); 1: plain batches.
        balanced_by: labels (N,); if given, a shuffled epoch has about equally many examples of each class.
        drop_last: drop the last mini-batch if it is smaller.
        transform: `transform(inputs, indices, epoch)`, applied to blocks of inputs; see image_transform.py.
        rank: this process's rank; it takes every world_size-th example of the common order. When shuffling, all shares
            have the same length, as training requires: examples are dropped (drop_last) or repeated. Otherwise each
            example is yielded exactly once.
        world_size: number of processes.
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int,
        shuffle: bool,
        seed: int,
        chunk: int = 1,
        balanced_by: Tensor | None = None,
        drop_last: bool = False,
        transform: Transform | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len({len(tensor) for tensor in tensors}) != 1:
            raise ValueError(f"tensors differ in length: {[len(tensor) for tensor in tensors]}")
        if batch_size < 1 or chunk < 1:
            raise ValueError(f"batch_size and chunk must be at least 1, not {batch_size} and {chunk}")
        self.tensors, self.transform = tensors, transform
        self.batch_size, self.chunk, self.drop_last = batch_size, chunk, drop_last
        self.shuffle, self.seed, self.balanced_by = shuffle, seed, balanced_by
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._samples = 0  # yielded in this epoch
        self._resuming = False

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Lightning looks here for `sampler.set_epoch`; a `sampler` attribute would have to pass its sampler checks."""
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration, which starts at its first batch or at a loaded position in it."""
        if epoch != self.epoch:
            self.epoch, self._samples, self._resuming = epoch, 0, False

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and the number of samples yielded in it, so the position does not depend on the batch size."""
        return {"epoch": self.epoch, "samples": self._samples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Starts the next iteration after the saved position; it yields nothing if the epoch was complete."""
        self.epoch, self._samples, self._resuming = state_dict["epoch"], samples_done(state_dict, self.batch_size), True

    @property
    def batches_done(self) -> int:
        """How many of the epoch's `len()` items were yielded before the current position."""
        samples = self._share_size() - self._samples
        left = samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)
        return len(self) - -(-max(0, left) // self.chunk)

    @property
    def num_batches(self) -> int:
        """Mini-batches per epoch in this process."""
        size = self._share_size()
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def __len__(self) -> int:
        """Chunks per epoch, or mini-batches if `chunk` is 1."""
        return -(-self.num_batches // self.chunk)

    def __iter__(self) -> Iterator[Batch | Chunk]:
        # A generator, so nothing runs before the first `next`: Lightning calls iter() before set_epoch().
        self._samples = self._samples if self._resuming else 0
        self._resuming = False
        chunk = Chunk()
        for batch in self._batches(self.epoch, self._samples):
            if self.chunk == 1:
                self._samples += self.batch_size
                yield batch
                continue
            chunk.append(batch)
            if len(chunk) == self.chunk:
                self._samples += len(chunk) * self.batch_size
                yield chunk
                chunk = Chunk()
        if len(chunk):
            self._samples += len(chunk) * self.batch_size
            yield chunk

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The epoch's mini-batches, starting at sample `start`."""
        order = self._order(epoch)[start:]
        if self.drop_last:
            order = order[: len(order) // self.batch_size * self.batch_size]
        block_bytes = BLOCK_BYTES.get(self.tensors[0].device.type, BLOCK_BYTES["cpu"])
        block = max(1, block_bytes // self._batch_bytes()) * self.batch_size
        for indices in order.split(block) if len(order) else ():
            inputs, *others = (tensor.index_select(0, indices) for tensor in self.tensors)
            if self.transform is not None:
                inputs = self.transform(inputs, indices, epoch)
            yield from zip(*(tensor.split(self.batch_size) for tensor in (inputs, *others)), strict=True)

    def _order(self, epoch: int) -> Tensor:
        """Indices (share size,) of this process's examples in the epoch's order, on the tensors' device."""
        size = len(self.tensors[0])
        order = torch.arange(size)
        if self.shuffle:
            order = random_order(size, self.balanced_by, keyed_generator(self.seed, epoch))
        share = torch.arange(self._share_size()) * self.world_size + self.rank
        return order[share % size].to(self.tensors[0].device)

    def _share_size(self) -> int:
        size = len(self.tensors[0])
        if not self.shuffle:
            return len(range(self.rank, size, self.world_size))
        return size // self.world_size if self.drop_last else -(-size // self.world_size)

    def _batch_bytes(self) -> int:
        inputs = self.tensors[0]
        return max(1, inputs[0].numel() * inputs.element_size() * self.batch_size)


def near_the_network(trainer: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Moves the tensors to the Trainer's CUDA device if twice the memory they need is free there."""
    device = trainer.strategy.root_device if trainer else torch.device("cpu")
    size = sum(tensor.nbytes for tensor in tensors if tensor.device != device)
    if device.type != "cuda" or torch.cuda.mem_get_info(device)[0] <= 2 * size:
        return tensors
    return tuple(tensor.to(device) for tensor in tensors)


def samples_done(position: Mapping[str, int], batch_size: int) -> int:
    """The number of samples in a loader's state; older checkpoints hold the number of batches instead."""
    return position["samples"] if "samples" in position else position["batch"] * batch_size
