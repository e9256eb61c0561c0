import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import ListConfig
from torch import Tensor
from torchvision.transforms import v2

from datamodules.image_folder import ImageFolder
from engine.features.features import Features
from engine.features.frozen import FrozenBackbone
from networks.resnet18 import ResNet18

SIZE = 32
PIXELS = 3 * SIZE * SIZE


class Flatten:
    """A backbone whose features are the pictures themselves, and that counts them."""

    def __init__(self) -> None:
        self.pictures = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.pictures += len(images)
        return images.flatten(1)


@pytest.fixture(scope="module")
def root(data_dir: Path) -> Path:
    return data_dir / "hymenoptera_data"


def photos(root: Path, **changes: Any) -> ImageFolder:
    settings: dict[str, Any] = {
        "data_dir": str(root),
        "num_classes": 2,
        "val_fraction": 0.2,
        "classes": None,
        "test_fraction": 0,
        "num_folds": None,
        "fold": 0,
        "balance": "none",
        "train_transform": v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip()]),
        "eval_transform": v2.Compose([v2.Resize(40), v2.CenterCrop(SIZE)]),
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


def features(pictures: ImageFolder, cache: Path, backbone: Callable[[Tensor], Tensor], **changes: Any) -> Features:
    settings = {
        "num_features": PIXELS,
        "key": {"weights": "1", "precision": "32"},
        "cache_dir": str(cache),
        "augmentation_views": 2,
        "max_epochs": 3,
        "view_seed": pictures.seed,
        "chunk": 1,
    }
    module = Features(photos=pictures, backbone=backbone, **(settings | changes))
    module.setup("fit")
    return module


def epoch_of(datamodule: Any, epoch: int) -> list[Any]:
    loader = datamodule.train_dataloader()
    getattr(loader, "sampler", loader).set_epoch(epoch)
    return list(loader)


def test_with_as_many_views_as_epochs_the_pictures_are_the_plain_paths(root: Path, tmp_path: Path) -> None:
    plain = photos(root)
    cached = features(plain, tmp_path, Flatten(), augmentation_views=None)
    for epoch in range(3):
        for batch, expected in zip(epoch_of(cached, epoch), epoch_of(plain, epoch), strict=True):
            images, labels = plain.on_after_batch_transfer(expected, 0)
            assert torch.equal(batch[0], images.flatten(1))
            assert torch.equal(batch[1], labels)


def test_fewer_views_take_turns(root: Path, tmp_path: Path) -> None:
    plain = photos(root)
    cached = features(plain, tmp_path, Flatten(), augmentation_views=2)
    for epoch in range(5):
        (first, _), *_ = epoch_of(cached, epoch)
        order = list(epoch_of_indices(plain, epoch))[:4]
        expected = torch.stack([plain.train[epoch % 2, index][0] for index in order]).flatten(1) / 255
        assert torch.equal(first, expected)


def epoch_of_indices(plain: ImageFolder, epoch: int) -> list[int]:
    sampler = plain.train_dataloader().sampler
    sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [index for _, index in sampler]  # type: ignore[misc]


def test_chunks_hold_the_same_batches(root: Path, tmp_path: Path) -> None:
    plain, backbone = photos(root), Flatten()
    single, chunked = (features(plain, tmp_path, backbone, chunk=chunk) for chunk in (1, 3))
    flat = [batch for chunk in epoch_of(chunked, 1) for batch in chunk]
    assert len(epoch_of(chunked, 1)) == 2
    for batch, expected in zip(flat, epoch_of(single, 1), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, expected, strict=True))
    assert backbone.pictures == 16 * 2 + 12


def test_normalised_as_the_plain_path_is(root: Path, tmp_path: Path) -> None:
    plain = photos(root, mean=ListConfig([0.5, 0.4, 0.3]), std=ListConfig([0.2, 0.3, 0.4]))  # as Hydra gives them
    cached = features(plain, tmp_path, Flatten())
    images, _ = plain.on_after_batch_transfer(next(iter(plain.val_dataloader())), 0)
    assert torch.equal(cached.features["val"][:5, 0], images.flatten(1))


def test_validation_features_equal_the_plain_networks(root: Path, tmp_path: Path) -> None:
    """To 1e-5 of the largest: folding BatchNorm into the convolutions rounds otherwise."""
    torch.manual_seed(0)
    network = ResNet18(num_classes=2, pretrained=False).eval()
    plain = photos(root)
    backbone = FrozenBackbone(network, "32")
    cached = features(plain, tmp_path, backbone, num_features=512, key=backbone.key)
    with torch.inference_mode():
        expected = torch.cat([network.features(batch[0] / 255) for batch in plain.val_dataloader()])
    got = torch.cat([inputs for inputs, _ in cached.val_dataloader()])
    assert float((got - expected).abs().max() / expected.abs().max()) < 1e-5


def test_workers_change_nothing(root: Path, tmp_path: Path) -> None:
    here, there = (features(photos(root, num_workers=n), tmp_path / str(n), Flatten()) for n in (0, 2))
    assert all(torch.equal(here.features[split], there.features[split]) for split in ("train", "val"))


def test_batch_order_and_head_settings_share_the_features(root: Path, tmp_path: Path) -> None:
    backbone = Flatten()
    features(photos(root), tmp_path, backbone)
    features(photos(root, seed=4, batch_size=2, eval_batch_size=3), tmp_path, backbone, view_seed=3, chunk=2)
    assert backbone.pictures == 16 * 2 + 12


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "training transform": ({"train_transform": v2.RandomResizedCrop(SIZE)}, {}),
    "training transform's settings": (
        {"train_transform": v2.Compose([v2.RandomResizedCrop(SIZE, scale=(0.5, 1.0)), v2.RandomHorizontalFlip()])},
        {},
    ),
    "validation transform": ({"eval_transform": v2.Compose([v2.Resize(41), v2.CenterCrop(SIZE)])}, {}),
    "normalisation": ({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, {}),
    "views": ({}, {"augmentation_views": 3}),
    "seed of the views": ({}, {"view_seed": 4}),
    "weights": ({}, {"key": {"weights": "2", "precision": "32"}}),
    "precision": ({}, {"key": {"weights": "1", "precision": "bf16"}}),
}


class Own:
    """A transform as people write one: without a repr of its own."""

    def __call__(self, photo: Tensor) -> Tensor:
        return photo[:, :SIZE, :SIZE]


def test_features_of_an_own_transform_are_found_again_by_its_config(root: Path, tmp_path: Path) -> None:
    backbone = Flatten()
    for config, pictures in (("scale: 1", 16 * 2 + 12), ("scale: 1", 16 * 2 + 12), ("scale: 2", 2 * (16 * 2 + 12))):
        mine = photos(root, train_transform=Own(), eval_transform=Own())
        features(mine, tmp_path, backbone, key={"transforms": config})
        assert backbone.pictures == pictures


@pytest.mark.parametrize("change", CHANGES)
def test_key_changes_with_the(change: str, root: Path, tmp_path: Path) -> None:
    of_photos, of_features = CHANGES[change]
    features(photos(root), tmp_path, Flatten())
    backbone = Flatten()
    features(photos(root, **copy.deepcopy(of_photos)), tmp_path, backbone, **of_features)
    assert backbone.pictures > 0


def test_key_changes_with_the_split(root: Path, tmp_path: Path) -> None:
    """Of the same photos."""
    flat = root / "train"
    first, second = (photos(flat, val_fraction=0.5, seed=seed) for seed in (0, 1))
    assert first.digest == second.digest
    features(first, tmp_path, Flatten(), view_seed=0)
    backbone = Flatten()
    features(second, tmp_path, backbone, view_seed=0)
    assert backbone.pictures > 0


@pytest.mark.parametrize("change", ["bytes", "name", "gone"])
def test_key_changes_with_the_files(change: str, root: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(root, tmp_path / "photos")
    features(photos(mine), tmp_path / "cache", Flatten())
    photo = mine / "val" / "bees" / "0003.jpg"
    if change == "bytes":
        shutil.copyfile(mine / "val" / "bees" / "0004.jpg", photo)
    elif change == "name":
        photo.rename(photo.with_name("0009.jpg"))
    else:
        photo.unlink()
    backbone = Flatten()
    features(photos(mine), tmp_path / "cache", backbone)
    assert backbone.pictures > 0


def test_a_moved_data_set_keeps_its_features(root: Path, tmp_path: Path) -> None:
    features(photos(root), tmp_path / "cache", Flatten())
    backbone = Flatten()
    features(photos(shutil.copytree(root, tmp_path / "moved")), tmp_path / "cache", backbone)
    assert backbone.pictures == 0


def test_batches_to_overfit_are_the_plain_paths_first(root: Path, tmp_path: Path) -> None:
    plain = photos(root)
    cached = features(plain, tmp_path, Flatten(), augmentation_views=1)
    expected = torch.cat([labels for _, labels in epoch_of(cached, 0)])
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    cached.trainer = SimpleNamespace(overfit_batches=2, world_size=1, global_rank=0, strategy=strategy)  # type: ignore[assignment]
    for epoch in range(2):
        assert torch.equal(torch.cat([labels for _, labels in epoch_of(cached, epoch)]), expected)


def test_stands_in_for_the_photos(root: Path, tmp_path: Path) -> None:
    plain = photos(root)
    cached = features(plain, tmp_path, Flatten())
    assert (cached.name, cached.source, cached.classes) == (plain.name, "local", ["ants", "bees"])
    assert cached.counts() == {"train": 16, "val": 12}
    assert cached.labels("val", [0, 11]) == [0, 1]
    assert torch.equal(cached.images("val", [2]), plain.images("val", [2]))
    assert torch.equal(cached.first_training_batch(4)[0], plain.first_training_batch(4)[0])
