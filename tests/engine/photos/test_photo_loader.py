from typing import Any

import pytest

from engine.data.keyed_sampler import KeyedSampler
from engine.photos.photo_loader import PhotoLoader


class Keys:
    """An item is its key."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key


def loader(num_workers: int = 0, persistent: bool = False, epoch: int = 0) -> PhotoLoader:
    sampler = KeyedSampler(10, seed=0, shuffle=True, num_replicas=1, rank=0, epoch=epoch)
    workers: dict[str, Any] = {"num_workers": num_workers, "persistent_workers": persistent, "worker_timeout": 60}
    return PhotoLoader(Keys(), sampler=sampler, batch_size=3, **workers)


def batches(some: Any, epoch: int) -> list[list[int]]:
    some.keyed_sampler.set_epoch(epoch)
    read = list(some)
    assert all(set(epochs.tolist()) == {epoch} for epochs, _ in read)
    return [indices.tolist() for _, indices in read]


@pytest.mark.parametrize(("num_workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_goes_on_after_any_batch_with_any_number_of_workers(num_workers: int, persistent: bool) -> None:
    expected = {epoch: batches(loader(), epoch) for epoch in (4, 5)}
    for handed_out in range(5):
        first = loader(epoch=4)
        iterator = iter(first)
        for _ in range(handed_out):
            next(iterator)
        second = loader(num_workers, persistent)
        second.load_state_dict(first.state_dict() if handed_out else {"epoch": 4, "batch": 0})
        assert len(second) == 4
        assert batches(second, 4) == expected[4][handed_out:]
        assert batches(second, 5) == expected[5]


def test_the_position_counts_what_was_handed_out_and_not_what_was_fetched_ahead() -> None:
    some = loader(num_workers=2)
    iterator = iter(some)
    next(iterator)
    assert some.state_dict() == {"epoch": 0, "samples": 3}


def test_a_position_of_an_epoch_that_is_over_is_forgotten() -> None:
    some = loader()
    some.load_state_dict({"epoch": 3, "batch": 4})
    assert batches(some, 4) == batches(loader(), 4)
