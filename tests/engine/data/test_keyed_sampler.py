import pytest

from engine.data.keyed_sampler import KeyedSampler


def sampler(size: int = 10, *, seed: int = 0, shuffle: bool = True, replicas: int = 1, rank: int = 0, epoch: int = 0):
    return KeyedSampler(size, seed=seed, shuffle=shuffle, num_replicas=replicas, rank=rank, epoch=epoch)


def indices(keyed: KeyedSampler) -> list[int]:
    return [index for _, index in keyed]


def test_order_is_keyed_by_seed_and_epoch() -> None:
    first, second = sampler(50), sampler(50, epoch=1)
    assert sorted(indices(first)) == list(range(50))
    assert indices(first) == indices(sampler(50))
    assert indices(first) != indices(second)
    assert indices(first) != indices(sampler(50, seed=1))
    first.set_epoch(1)
    assert list(first) == list(second)


def test_epoch_comes_with_each_index() -> None:
    keyed = sampler(epoch=3)
    assert {epoch for epoch, _ in keyed} == {3}
    keyed.set_epoch(4)
    assert {epoch for epoch, _ in keyed} == {4}


def test_in_order_without_shuffling() -> None:
    assert indices(sampler(shuffle=False, epoch=2)) == list(range(10))


@pytest.mark.parametrize(("size", "replicas"), [(10, 2), (10, 3), (2, 3), (1, 4)])
def test_shuffled_shares_are_of_one_length_and_cover_everything(size: int, replicas: int) -> None:
    shares = [sampler(size, replicas=replicas, rank=rank) for rank in range(replicas)]
    length = -(-size // replicas)
    assert [len(indices(share)) for share in shares] == [length] * replicas
    assert [len(share) for share in shares] == [length] * replicas
    assert {index for share in shares for index in indices(share)} == set(range(size))


def test_shares_interleave_to_the_order_of_one_process() -> None:
    shares = [indices(sampler(replicas=2, rank=rank)) for rank in (0, 1)]
    assert [index for pair in zip(*shares, strict=True) for index in pair] == indices(sampler())


@pytest.mark.parametrize("replicas", [2, 3, 11])
def test_ordered_shares_hold_each_item_once(replicas: int) -> None:
    shares = [sampler(shuffle=False, replicas=replicas, rank=rank) for rank in range(replicas)]
    assert [len(share) for share in shares] == [len(indices(share)) for share in shares]
    assert sorted(index for share in shares for index in indices(share)) == list(range(10))
