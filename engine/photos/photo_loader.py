"""Batches of photos, from any place in an epoch on."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset

from engine.data.keyed_sampler import KeyedSampler


class PhotoLoader(DataLoader[Any]):
    """A DataLoader over a KeyedSampler that knows its position, so that a resumed training goes on amid an epoch.

    The position counts the batches that were handed out, not those that workers fetched ahead: it does not depend on
    the number of workers.
    """

    def __init__(self, dataset: Dataset[Any], sampler: KeyedSampler, *, batch_size: int, **settings: Any) -> None:
        super().__init__(dataset, batch_size, sampler=sampler, **settings)
        self.keyed_sampler = sampler
        self._position = {"epoch": 0, "batch": 0}
        self._resuming = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so nothing is fetched before the first `next`: Lightning calls iter() first, set_epoch() after.
        epoch = self.keyed_sampler.epoch
        start = self._position["batch"] if self._resuming and self._position["epoch"] == epoch else 0
        self._position, self._resuming = {"epoch": epoch, "batch": start}, False
        assert self.batch_size is not None
        self.keyed_sampler.skip = start * self.batch_size
        for batch in super().__iter__():
            self._position["batch"] += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The position: the epoch, and how many of its batches were handed out."""
        return dict(self._position)

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Let the next iteration go on after that position, if it is of the same epoch."""
        self._position, self._resuming = dict(state_dict), True
