from collections import Counter
from typing import Any

import pytest
import torch

from engine.data.balance import balanced_order, balanced_weights, random_order
from engine.data.keyed import keyed_generator
from engine.data.keyed_sampler import KeyedSampler
from engine.data.tensor_loader import TensorDataLoader

LABELS = torch.tensor([0] * 40 + [1] * 4 + [2] * 11)


def counts(indices: Any) -> dict[int, int]:
    return dict(Counter(LABELS[torch.as_tensor(indices)].tolist()))


def test_each_class_has_its_share_and_none_is_repeated_before_all_others() -> None:
    order = balanced_order(LABELS, keyed_generator(0))
    assert len(order) == len(LABELS)
    assert counts(order) == {0: 19, 1: 18, 2: 18}
    times = Counter(order.tolist())
    assert max(times[index] for index in range(40)) == 1
    assert {times[index] for index in range(40, 44)} == {4, 5}
    assert {times[index] for index in range(44, 55)} == {1, 2}


def test_it_is_keyed() -> None:
    assert torch.equal(balanced_order(LABELS, keyed_generator(3, 1)), balanced_order(LABELS, keyed_generator(3, 1)))
    others = [balanced_order(LABELS, keyed_generator(3, epoch)) for epoch in range(4)]
    assert len({tuple(order.tolist()) for order in others}) == 4
    assert len({index for order in others for index in order.tolist() if index < 40}) > 30, "others in each epoch"


def test_balanced_classes_are_permuted() -> None:
    labels = torch.tensor([0, 1] * 10)
    assert sorted(random_order(20, labels, keyed_generator(0)).tolist()) == list(range(20))
    plain = random_order(20, None, keyed_generator(0))
    assert torch.equal(plain, torch.randperm(20, generator=keyed_generator(0)))


@pytest.mark.parametrize("world_size", [1, 2])
def test_loaders(world_size: int) -> None:
    settings: dict[str, Any] = {"seed": 1, "shuffle": True, "balanced_by": LABELS}
    seen, sampled = [], []
    for rank in range(world_size):
        loader = TensorDataLoader(torch.arange(55), LABELS, batch_size=5, rank=rank, world_size=world_size, **settings)
        seen += [int(index) for batch in loader for index in batch[0]]
        sampler = KeyedSampler(55, num_replicas=world_size, rank=rank, epoch=0, **settings)
        sampled += [index for _, index in sampler]
    for indices in (seen, sampled):
        assert max(counts(indices).values()) - min(counts(indices).values()) <= 2
    in_order = TensorDataLoader(torch.arange(55), LABELS, batch_size=55, seed=1, shuffle=False, balanced_by=LABELS)
    assert next(iter(in_order))[0].tolist() == list(range(55))


def test_weights_are_1_in_the_mean() -> None:
    weights = balanced_weights(LABELS, 3)
    assert weights == pytest.approx([55 / 120, 55 / 12, 55 / 33])
    assert torch.tensor(weights)[LABELS].mean() == pytest.approx(1)
