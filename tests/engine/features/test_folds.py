from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from datamodules.image_folder import ImageFolder
from engine.features.folds import FoldLoader, Folds, pooled

SIZE = 16


def photos(root: Path, **changes: Any) -> ImageFolder:
    settings: dict[str, Any] = {
        "data_dir": str(root / "hymenoptera_data"),
        "num_classes": 2,
        "val_fraction": 0.2,
        "classes": None,
        "test_fraction": 0,
        "num_folds": None,
        "fold": 0,
        "balance": "none",
        "train_transform": v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip()]),
        "eval_transform": v2.Compose([v2.Resize(20), v2.CenterCrop(SIZE)]),
        "image_size": SIZE,
        "mean": None,
        "std": None,
        "batch_size": 4,
        "eval_batch_size": 5,
        "num_workers": 0,
        "max_pixels": 10**6,
        "keep_decoded": 0,
        "index_dir": None,
        "worker_timeout": 60,
        "seed": 3,
    }
    settings |= changes
    datamodule = ImageFolder(**{"seed_split": settings["seed"], **settings})
    datamodule.setup("fit")
    return datamodule


@pytest.fixture(scope="module")
def folds(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Folds:
    """28 photos in 3 folds, twice; features are the pictures themselves."""
    module = Folds(
        photos=photos(data_dir),
        num_folds=3,
        num_repeats=2,
        choose_epoch_by=None,
        backbone=lambda images: images.flatten(1),
        num_features=3 * SIZE * SIZE,
        key={},
        cache_dir=str(tmp_path_factory.mktemp("cache")),
        augmentation_views=2,
        max_epochs=4,
        view_seed=3,
        chunk=1,
    )
    module.setup("fit")
    return module


def test_pooled_splits_both_hold_all_photos_in_their_own_look(data_dir: Path) -> None:
    parted = photos(data_dir)
    both = pooled(parted)
    assert both.train.files == both.val.files == [*parted.train.files, *parted.val.files]
    assert both.train.labels == both.val.labels == [*parted.train.labels, *parted.val.labels]
    assert (both.train.transform, both.val.transform) == (parted.train.transform, parted.val.transform)
    assert parted.counts() == {"train": 16, "val": 12}, "it is a copy"
    assert torch.equal(both.images("val", [20]), parted.images("val", [4]))
    assert both.findings() == parted.findings(), "a photo is no copy of itself"


def test_what_is_held_out(folds: Folds) -> None:
    assert folds.counts() == {"photos": 28, "folds": 3, "repeats": 2}
    assert folds.held_out.shape == (28, 2)
    assert set(folds.held_out[:, 0].tolist()) == {0, 1, 2}
    assert set(folds.held_out[:, 1].tolist()) == {3, 4, 5}
    assert not torch.equal(folds.held_out[:, 0] + 3, folds.held_out[:, 1])


def test_validation_gives_each_photo_once_with_the_heads_that_never_saw_it(folds: Folds) -> None:
    ((features, labels, held_out),) = list(folds.val_dataloader())
    assert torch.equal(features, folds.photos.images("val", range(28)).flatten(1))
    assert labels.tolist() == folds.labels("val", range(28))
    assert torch.equal(held_out, folds.held_out)


def test_training_pictures_are_the_epochs_view_of_photos_that_are_not_held_out(folds: Folds) -> None:
    loader = folds.train_dataloader()
    for epoch in (0, 1, 2):
        loader.set_epoch(epoch)
        look = torch.stack([folds.photos.train.looks(i, [epoch % 2], 3)[0] for i in range(28)]).float().flatten(1) / 255
        features, labels = (torch.cat(parts, dim=1) for parts in zip(*loader, strict=True))
        for head in range(6):
            seen = torch.cdist(features[head], look).argmin(1)
            assert torch.equal(features[head], look[seen])
            assert labels[head].tolist() == folds.labels("train", seen.tolist())
            allowed = (folds.held_out != head).all(1).nonzero().flatten().tolist()
            assert len(set(seen.tolist())) == len(seen)
            assert set(seen.tolist()) <= set(allowed)
            assert len(allowed) - len(seen) == (len(allowed) == 19), "18 of 18, or of 19"


HELD_OUT = torch.stack([torch.arange(11) % 3, torch.arange(11).flip(0) % 3 + 3], dim=1)


def loader(**changes: Any) -> FoldLoader:
    """11 examples of one view, each its own number, with the labels 100 + number."""
    settings: dict[str, Any] = {"batch_size": 3, "shuffle": True, "seed": 0, "chunk": 1}
    numbers = torch.arange(11.0).view(11, 1, 1)
    return FoldLoader(numbers, torch.arange(11) + 100, HELD_OUT, **(settings | changes))


def orders(batches: Any) -> Tensor:
    """(F, examples): what each head saw, in order."""
    return torch.cat([features[..., 0] for features, _ in batches], dim=1)


def test_mini_batches_of_all_heads() -> None:
    batches = list(loader())
    assert [tuple(features.shape) for features, _ in batches] == [(6, 3, 1), (6, 3, 1), (6, 1, 1)]
    assert all(torch.equal(features[..., 0].long() + 100, labels) for features, labels in batches)


def test_an_example_that_is_left_out_has_its_turn_in_another_epoch() -> None:
    one = loader()
    seen: list[set[float]] = [set() for _ in range(6)]
    for epoch in range(8):
        one.set_epoch(epoch)
        for head, order in enumerate(orders(one)):
            assert len(set(order.tolist())) == 7
            seen[head] |= set(order.tolist())
    assert [sorted(s) for s in seen] == [[i for i in range(11) if head not in HELD_OUT[i]] for head in range(6)]


def test_order_depends_on_seed_epoch_and_head_alone() -> None:
    one, other, third = loader(), loader(batch_size=2, chunk=2), loader(seed=1)
    for each in (one, other, third):
        each.set_epoch(5)
    first = orders(one)
    assert torch.equal(orders(batch for chunk in other for batch in chunk), first)
    assert not torch.equal(orders(third), first)
    one.set_epoch(6)
    assert not torch.equal(orders(one), first)
    assert not torch.equal(first[0].argsort(), first[1].argsort())


def test_the_same_batches_over_and_over_where_they_are_to_be_overfitted(folds: Folds) -> None:
    one = loader(shuffle=False)
    first = orders(one)
    assert torch.equal(first, orders(loader()))
    one.set_epoch(1)
    assert torch.equal(orders(one), first)
    folds.trainer = SimpleNamespace(overfit_batches=2)  # type: ignore[assignment]
    assert not folds.train_dataloader().shuffle
    folds.trainer = None
    assert folds.train_dataloader().shuffle


@pytest.mark.parametrize("chunk", [1, 2])
def test_goes_on_from_the_middle_of_an_epoch(chunk: int) -> None:
    one, other = loader(batch_size=2, chunk=chunk), loader(batch_size=2, chunk=chunk)
    one.set_epoch(3)
    iterator = iter(one)
    next(iterator)
    other.load_state_dict(one.state_dict())
    rest = list(iterator)
    again = list(other)
    assert len(rest) == len(again) == len(one) - 1
    flat = [[b for c in some for b in c] if chunk > 1 else some for some in (rest, again)]
    assert torch.equal(orders(flat[0]), orders(flat[1]))
