import pytest
import torch

from datamodules.stratified_split import stratified_split

LABELS = torch.arange(1000) % 10


def test_parts_are_disjoint_complete_and_ordered():
    train, val = stratified_split(LABELS, 100, seed=0)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(1000))
    assert (train.diff() > 0).all()
    assert (val.diff() > 0).all()


def test_each_class_gives_its_share():
    assert torch.bincount(LABELS[stratified_split(LABELS, 100, seed=0)[1]]).tolist() == [10] * 10


def test_uneven_classes_are_within_one_of_their_share():
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([7, 50, 13]))
    counts = torch.bincount(labels[stratified_split(labels, 20, seed=0)[1]], minlength=3)
    assert counts.sum() == 20
    assert ((counts - torch.tensor([7, 50, 13]) * 20 / 70).abs() < 1).all()


def test_the_seed_decides():
    first, same, other = (stratified_split(LABELS, 100, seed=seed)[1].tolist() for seed in (0, 0, 1))
    assert first == same
    assert first != other


def test_none_and_all():
    assert [len(part) for part in stratified_split(LABELS, 0, seed=0)] == [1000, 0]
    assert [len(part) for part in stratified_split(LABELS, 1000, seed=0)] == [0, 1000]


@pytest.mark.parametrize("val_size", [-1, 1001])
def test_impossible_sizes_are_refused(val_size):
    with pytest.raises(ValueError, match=f"val_size {val_size} is not between 0 and the 1000 examples"):
        stratified_split(LABELS, val_size, seed=0)
