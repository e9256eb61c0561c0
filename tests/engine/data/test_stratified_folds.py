import pytest
import torch

from engine.data.stratified_folds import stratified_folds
from engine.errors import DataError

LABELS = torch.tensor([0, 1, 2] * 11 + [1] * 8 + [2] * 5)


@pytest.mark.parametrize("num_folds", [2, 3, 7, 10, 11])
def test_folds_and_classes_are_even_to_within_one(num_folds: int) -> None:
    folds = stratified_folds(LABELS, num_folds, seed=0, repeat=0)
    assert folds.shape == LABELS.shape
    sizes = folds.bincount(minlength=num_folds)
    assert sizes.sum() == len(LABELS)
    assert sizes.max() - sizes.min() <= 1
    for label in range(3):
        members = folds[label == LABELS].bincount(minlength=num_folds)
        assert members.max() - members.min() <= 1


def test_drawn_with_seed_and_repeat_alone() -> None:
    state = torch.get_rng_state()
    first = stratified_folds(LABELS, 5, seed=3, repeat=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(stratified_folds(LABELS, 5, seed=3, repeat=1), first)
    assert not torch.equal(stratified_folds(LABELS, 5, seed=3, repeat=2), first)
    assert not torch.equal(stratified_folds(LABELS, 5, seed=4, repeat=1), first)


def test_any_two_of_a_class_may_share_a_fold() -> None:
    """Two of four in two folds: drawn without bias they meet in a third of the draws."""
    labels = torch.zeros(4, dtype=torch.long)
    draws = [stratified_folds(labels, 2, seed=0, repeat=repeat) for repeat in range(600)]
    together = sum(int(draw[0] == draw[1]) for draw in draws)
    assert 150 < together < 250


@pytest.mark.parametrize("num_folds", [1, 12])
def test_impossible_numbers(num_folds: int) -> None:
    with pytest.raises(
        DataError, match=rf"num_folds is {num_folds}, but must be at least 2 and at most 11, .* smallest class"
    ):
        stratified_folds(LABELS, num_folds, seed=0, repeat=0)
