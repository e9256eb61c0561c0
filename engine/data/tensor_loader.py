from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from engine.data.chunk import Batch, Chunk
from engine.data.keyed import keyed_generator

Transform = Callable[[Tensor, Tensor, int], Tensor]

# Inputs are gathered and transformed in blocks of this size, and mini-batches are views of a block, so that neither
# costs anything a batch. Small enough for a processor's cache, where the float copy takes four times as much.
BLOCK_BYTES = 2 << 20


class TensorDataLoader:
    """Mini-batches of whole tensors in memory, or on a device: no work is done an item, and next to none a batch.

    Each iteration gives the batches of one epoch. Their order is randperm(seed, epoch), and the transform is told each
    input's index and the epoch, so that neither chunks nor a restart changes what is seen. As a Trainer's dataloader it
    is told the epoch by `set_epoch`, and goes on from the middle of an epoch by `state_dict` and `load_state_dict`.

    Args:
        tensors: inputs (N, …) first, then what belongs to them (targets (N, …), …), all on one device.
        batch_size: examples in a mini-batch; the last one is smaller where they do not divide.
        shuffle: draw a new order each epoch; False: by index.
        seed: key of the order.
        chunk: mini-batches that are handed out together, as a `Chunk` (the last may hold fewer); 1: plain batches.
        drop_last: leave out a smaller last mini-batch.
        transform: `transform(inputs, indices, epoch)`, applied to blocks of inputs; see image_transform.py.
        rank: this process's number among `world_size` that share each epoch: it takes every world_size-th example of
            the same order. Shuffled shares are of one length, as training needs: examples are left out (drop_last) or
            given out twice. Unshuffled, each example is given out exactly once.
        world_size: number of processes.
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int,
        shuffle: bool,
        seed: int,
        chunk: int = 1,
        drop_last: bool = False,
        transform: Transform | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len({len(tensor) for tensor in tensors}) != 1:
            raise ValueError(f"tensors differ in length: {[len(tensor) for tensor in tensors]}")
        if batch_size < 1 or chunk < 1:
            raise ValueError(f"batch_size and chunk are at least 1, not {batch_size} and {chunk}")
        self.tensors, self.transform = tensors, transform
        self.batch_size, self.chunk, self.drop_last = batch_size, chunk, drop_last
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._samples = 0  # of the epoch, that were handed out
        self._resuming = False

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for `sampler.set_epoch`. (A `sampler` of our own would meet its checks of samplers.)"""
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Iterate over this epoch next: from its first batch, or from a loaded position in this epoch."""
        if epoch != self.epoch:
            self.epoch, self._samples, self._resuming = epoch, 0, False

    def state_dict(self) -> dict[str, Any]:
        """The position: the epoch, and how many of its samples were handed out, whatever size the batches had."""
        return {"epoch": self.epoch, "samples": self._samples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Starts the next iteration after that position; it is empty if the epoch was over."""
        self.epoch, self._samples, self._resuming = state_dict["epoch"], samples_done(state_dict, self.batch_size), True

    @property
    def batches_done(self) -> int:
        """How many of the epoch's `len()` are behind the position: all but those that are still to come."""
        samples = self._share_size() - self._samples
        left = samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)
        return len(self) - -(-max(0, left) // self.chunk)

    @property
    def num_batches(self) -> int:
        """Mini-batches in an epoch of this process."""
        size = self._share_size()
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def __len__(self) -> int:
        """Chunks in an epoch, or mini-batches where chunk is 1."""
        return -(-self.num_batches // self.chunk)

    def __iter__(self) -> Iterator[Batch | Chunk]:
        # A generator, so nothing runs before the first `next`: Lightning calls iter() first and set_epoch() after.
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
        """The mini-batches of an epoch from sample number `start` on."""
        order = self._order(epoch)[start:]
        if self.drop_last:
            order = order[: len(order) // self.batch_size * self.batch_size]
        block = max(1, BLOCK_BYTES // self._batch_bytes()) * self.batch_size
        for indices in order.split(block) if len(order) else ():
            inputs, *others = (tensor.index_select(0, indices) for tensor in self.tensors)
            if self.transform is not None:
                inputs = self.transform(inputs, indices, epoch)
            yield from zip(*(tensor.split(self.batch_size) for tensor in (inputs, *others)), strict=True)

    def _order(self, epoch: int) -> Tensor:
        """Indices (share size,) of this process's examples in their order of the epoch, on the tensors' device."""
        size = len(self.tensors[0])
        order = (
            torch.randperm(size, generator=keyed_generator(self.seed, epoch)) if self.shuffle else torch.arange(size)
        )
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


def samples_done(position: Mapping[str, int], batch_size: int) -> int:
    """Out of a loader's state: checkpoints before samples were counted hold the number of batches."""
    return position["samples"] if "samples" in position else position["batch"] * batch_size
