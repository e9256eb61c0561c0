"""Batches of photos, starting anywhere in an epoch."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Dataset

from engine.data.keyed_sampler import KeyedSampler
from engine.data.patient_loader import PatientLoader
from engine.data.tensor_loader import samples_done
from engine.protocols import TellsDamage


class PhotoLoader(PatientLoader):
    """A DataLoader over a KeyedSampler that knows its position, so that training can resume in the middle of an epoch.

    The position counts the samples handed out, not those that workers have prefetched, so it depends neither on the
    number of workers nor on the batch size.
    """

    def __init__(self, dataset: Dataset[Any], sampler: KeyedSampler, *, batch_size: int, **settings: Any) -> None:
        super().__init__(dataset, batch_size, sampler=sampler, **settings)
        self.keyed_sampler = sampler
        self._position = {"epoch": 0, "samples": 0}
        self._resuming = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so nothing is fetched before the first `next`: Lightning calls iter() first, set_epoch() after.
        epoch = self.keyed_sampler.epoch
        start = self._position["samples"] if self._resuming and self._position["epoch"] == epoch else 0
        self._position, self._resuming = {"epoch": epoch, "samples": start}, False
        assert self.batch_size is not None
        self.keyed_sampler.skip = start
        for batch in super().__iter__():
            self._position["samples"] += self.batch_size
            if self._position["samples"] >= len(self.keyed_sampler) and isinstance(self.dataset, TellsDamage):
                self.dataset.tell_damaged()  # Lightning does not ask for what comes after the last batch
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The position: the epoch, and the number of its samples handed out."""
        return dict(self._position)

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Makes the next iteration start at that position, if it is of the same epoch."""
        assert self.batch_size is not None
        samples = samples_done(state_dict, self.batch_size)
        self._position, self._resuming = {"epoch": state_dict["epoch"], "samples": samples}, True

    @property
    def batches_done(self) -> int:
        """The number of the epoch's batches before the position."""
        assert self.batch_size is not None
        samples = max(0, len(self.keyed_sampler) - self._position["samples"])
        return len(self) - (samples // self.batch_size if self.drop_last else -(-samples // self.batch_size))
