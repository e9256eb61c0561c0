"""The order of a dataset's items, keyed by (seed, epoch)."""

from collections.abc import Iterator

import torch
from torch.utils.data.distributed import DistributedSampler

from engine.data.balance import random_order
from engine.data.keyed import keyed_generator


class KeyedSampler(DistributedSampler[tuple[int, int]]):
    """Yields (epoch, index), shuffled by (seed, epoch) or in order; each of `num_replicas` processes gets its share.

    It subclasses DistributedSampler so that Lightning calls `set_epoch` and does not replace it. When shuffling, all
    shares are padded to the same length, as training requires; in order, each item is yielded exactly once.

    If labels `balanced_by` (size,) are given, a shuffled epoch has about equally many items of each class.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int,
        shuffle: bool,
        num_replicas: int,
        rank: int,
        epoch: int,
        balanced_by: torch.Tensor | None = None,
    ) -> None:
        super().__init__(range(size), num_replicas=num_replicas, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.size = size
        self.epoch = epoch
        self.balanced_by = balanced_by
        self.skip = 0  # items to skip at the start of the next iteration

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for index in self._share()[self.skip :].tolist():
            yield self.epoch, index

    def __len__(self) -> int:
        return self.num_samples if self.shuffle else len(range(self.rank, self.size, self.num_replicas))

    def _share(self) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(self.rank, self.size, self.num_replicas)
        order = random_order(self.size, self.balanced_by, keyed_generator(self.seed, self.epoch))
        return order[torch.arange(self.rank, self.total_size, self.num_replicas) % self.size]
