from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

import engine.photos.photo_set
from datamodules.image_folder import ImageFolder
from engine.photos.images import read_image
from engine.photos.photo_set import PhotoMemory

SETTINGS: dict[str, Any] = {
    "num_classes": 2,
    "val_fraction": 0.25,
    "classes": None,
    "test_fraction": 0,
    "num_folds": None,
    "fold": 0,
    "balance": "none",
    "train_transform": v2.RandomCrop(16),
    "eval_transform": v2.CenterCrop(16),
    "image_size": 16,
    "mean": None,
    "std": None,
    "worker_timeout": 60,
    "batch_size": 3,
    "eval_batch_size": 5,
    "max_pixels": 1_000_000,
    "index_dir": None,
    "seed": 7,
    "seed_split": 7,
}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded, one after the other."""
    paths: list[Path] = []

    def read(path: Path, max_pixels: int, damage: list[str]) -> Tensor:
        paths.append(path)
        return read_image(path, max_pixels, damage)

    monkeypatch.setattr(engine.photos.photo_set, "read_image", read)
    return paths


def three_epochs(data_dir: Path, *, keep_decoded: int, num_workers: int = 0) -> tuple[ImageFolder, list[Tensor]]:
    root = str(data_dir / "hymenoptera_data")
    datamodule = ImageFolder(data_dir=root, keep_decoded=keep_decoded, num_workers=num_workers, **SETTINGS)
    datamodule.setup("fit")
    loader: Any = datamodule.train_dataloader()
    images = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        images += [torch.cat([batch[0] for batch in loader])]
    return datamodule, images


def test_photos_that_fit_are_decoded_once(data_dir: Path, reads: list[Path]) -> None:
    datamodule, kept = three_epochs(data_dir, keep_decoded=10**9)
    assert sorted(reads) == sorted(datamodule.train.files)
    reads.clear()
    _, decoded = three_epochs(data_dir, keep_decoded=0)
    assert len(reads) == 3 * len(datamodule.train.files)
    assert all(torch.equal(one, other) for one, other in zip(kept, decoded, strict=True))


def test_memory_stays_below_what_is_given(data_dir: Path, reads: list[Path]) -> None:
    photos, _ = three_epochs(data_dir, keep_decoded=0)
    sizes = {file: read_image(file, 10**9).nbytes for file in photos.train.files}
    reads.clear()
    given = sum(sizes.values())  # half of which is for training
    datamodule, images = three_epochs(data_dir, keep_decoded=given)
    kept = [file for file in sizes if reads.count(file) == 1]
    assert 0 < len(kept) < len(sizes)
    assert sum(sizes[file] for file in kept) == given // 2 - datamodule.train.memory.room <= given // 2
    assert [reads.count(file) for file in sizes if file not in kept] == [3] * (len(sizes) - len(kept))
    assert torch.equal(images[2], three_epochs(data_dir, keep_decoded=0)[1][2])


def test_each_worker_has_its_part(data_dir: Path) -> None:
    datamodule, images = three_epochs(data_dir, keep_decoded=10**9, num_workers=2)
    assert datamodule.train.memory.room == 10**9 // 4
    assert torch.equal(torch.stack(images), torch.stack(three_epochs(data_dir, keep_decoded=0)[1]))


def test_what_is_given_may_be_changed() -> None:
    memory = PhotoMemory(100)
    for _ in range(3):
        photo = memory.get(0, lambda: torch.zeros(3, 2, 2, dtype=torch.uint8))
        assert not photo.any()
        photo += 1
