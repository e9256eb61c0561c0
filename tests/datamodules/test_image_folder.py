import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import seed_everything
from torch import Tensor
from torch.utils.data import SequentialSampler
from torchvision.transforms import v2

from datamodules.image_folder import ImageFolder
from engine.errors import DataError
from engine.photos.images import read_image
from engine.photos.photo_index import PhotoIndex

SIZE = 32


def settings(root: Path, **changes: Any) -> dict[str, Any]:
    train = v2.Compose([v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip()])
    return {
        "data_dir": str(root),
        "num_classes": 2,
        "classes": None,
        "val_fraction": 0.25,
        "test_fraction": 0,
        "num_folds": None,
        "fold": 0,
        "balance": "none",
        "train_transform": train,
        "eval_transform": v2.Compose([v2.Resize(40), v2.CenterCrop(SIZE)]),
        "image_size": SIZE,
        "mean": None,
        "std": None,
        "batch_size": 3,
        "eval_batch_size": 5,
        "num_workers": 0,
        "max_pixels": 1_000_000,
        "keep_decoded": 0,
        "index_dir": None,
        "worker_timeout": 60,
        "seed": 7,
        **changes,
    }


def folder(root: Path, **changes: Any) -> ImageFolder:
    given = settings(root, **changes)
    datamodule = ImageFolder(**{"seed_split": given["seed"], **given})
    datamodule.setup("fit")
    return datamodule


@pytest.fixture(scope="module")
def photos(data_dir: Path) -> Path:
    return data_dir / "hymenoptera_data"


@pytest.fixture(scope="module")
def flat(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ants/ and bees/ without a split: 8 photos each."""
    root = tmp_path_factory.mktemp("flat")
    shutil.copytree(photos / "train", root, dirs_exist_ok=True)
    return root


def epoch_of(loader: Any, epoch: int) -> list[tuple[Tensor, Tensor]]:
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_official_split(photos: Path) -> None:
    datamodule = folder(photos)
    assert datamodule.classes == ["ants", "bees"]
    assert datamodule.counts() == {"train": 16, "val": 12}
    assert datamodule.labels("val", range(12)) == [0] * 6 + [1] * 6
    assert all(file.parent.name == datamodule.classes[label] for file, label in zip(*both(datamodule), strict=True))


def both(datamodule: ImageFolder) -> tuple[list[Path], list[int]]:
    train, val = datamodule.train, datamodule.val
    return [*train.files, *val.files], [*train.labels, *val.labels]


def test_drawn_split_is_stratified_and_whole(flat: Path) -> None:
    datamodule = folder(flat)
    assert datamodule.counts() == {"train": 12, "val": 4}
    assert datamodule.labels("val", range(4)) == [0, 0, 1, 1]
    files, labels = both(datamodule)
    assert sorted(files) == sorted(flat.glob("*/*.jpg"))
    assert all(file.parent.name == datamodule.classes[label] for file, label in zip(files, labels, strict=True))
    assert folder(flat).val.files == datamodule.val.files
    assert any(folder(flat, seed=seed).val.files != datamodule.val.files for seed in range(5))
    assert all(folder(flat, seed=seed, seed_split=7).val.files == datamodule.val.files for seed in range(5))


@pytest.mark.parametrize(
    ("remove", "make", "match"),
    [
        ("val/ants", None, r"different classes, 'ants' only in training \(as .*ants/0000.jpg\)"),
        ("train", None, "no folder train"),
        (None, "train/wasps/1.jpg", "'wasps' only in training"),
        (None, "train/.ipynb_checkpoints/1.jpg", r"train/\.ipynb_checkpoints is a hidden folder"),
        (None, "val/empty/readme.txt", "val/empty holds no image"),
    ],
)
def test_unusable_folders_are_named(
    remove: str | None, make: str | None, match: str, photos: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    if remove:
        shutil.rmtree(root / remove)
    if make:
        (root / make).parent.mkdir()
        (root / make).write_bytes(b"")
    with pytest.raises(DataError, match=match):
        folder(root)


def test_wrong_number_of_classes(photos: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds 2 classes \(ants, bees\), datamodule.num_classes is 3: give .*classes=2"
    ):
        folder(photos, num_classes=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_undecodable_photo_is_named_in_one_sentence(workers: int, photos: Path, tmp_path: Path) -> None:
    """A worker process sends its traceback along with what it raised."""
    root = shutil.copytree(photos, tmp_path / "photos")
    odd = root / "val" / "ants" / "0002.jpg"
    # Its quantisation tables are gone, as only decoding shows.
    odd.write_bytes(odd.read_bytes().replace(b"\xff\xdb", b"\xff\xec"))
    with pytest.raises(DataError, match=rf"^{odd} cannot be decoded as an image \(.*\): repair it, or remove it\.$"):
        list(folder(root, num_workers=workers).val_dataloader())


def test_cut_photo_is_named_before_training(photos: Path, tmp_path: Path) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    cut = root / "val" / "ants" / "0002.jpg"
    cut.write_bytes(cut.read_bytes()[:-1000])
    with pytest.raises(DataError, match=rf"^{cut} cannot be decoded as an image \(it is cut short\)"):
        folder(root)


def test_digest_is_of_all_photos_whichever_split_they_are_in(flat: Path) -> None:
    first, second = (folder(flat, seed=seed, val_fraction=0.5) for seed in (0, 1))
    assert first.val.files != second.val.files
    assert first.digest == second.digest
    assert folder(flat, val_fraction=0.5).digest == PhotoIndex([*flat.glob("*/*.jpg")], flat).digest()


def test_validation_batches_hold_each_photo_once_in_order(photos: Path) -> None:
    datamodule = folder(photos)
    batches = list(datamodule.val_dataloader())
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    images = torch.cat([images for images, _ in batches])
    by_hand = [v2.Compose([v2.Resize(40), v2.CenterCrop(SIZE)])(read_image(f, 10**6)) for f in datamodule.val.files]
    assert torch.equal(images, torch.stack(by_hand))
    assert torch.equal(datamodule.images("val", [3, 1]), torch.stack(by_hand)[[3, 1]].float() / 255)


def test_training_batches_depend_on_seed_and_epoch_alone(photos: Path) -> None:
    seed_everything(0, verbose=False)
    loader = folder(photos).train_dataloader()
    first, second = epoch_of(loader, 0), epoch_of(loader, 1)
    seed_everything(1, verbose=False)
    again = folder(photos).train_dataloader()
    assert all(
        torch.equal(a, b)
        for one, other in zip(second, epoch_of(again, 1), strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert not torch.equal(first[0][0], second[0][0])
    assert not torch.equal(first[0][0], epoch_of(folder(photos, seed=8).train_dataloader(), 0)[0][0])
    assert sorted(torch.cat([labels for _, labels in first]).tolist()) == [0] * 8 + [1] * 8


def test_data_code_draws_nothing_from_the_global_generator(photos: Path) -> None:
    datamodule = folder(photos)
    state = torch.get_rng_state()
    datamodule.train[3, 1]
    assert torch.equal(torch.get_rng_state(), state)


def test_looks_are_those_of_their_epochs(photos: Path) -> None:
    train = folder(photos).train
    looks = train.looks(5, range(3), seed=7)
    assert all(torch.equal(look, train[epoch, 5][0]) for epoch, look in enumerate(looks))
    assert not torch.equal(looks[0], looks[1])


def test_a_sampler_that_knows_no_epoch_gets_the_first(photos: Path) -> None:
    train = folder(photos).train
    assert torch.equal(train[3][0], train[0, 3][0])


def test_first_training_batch_is_the_loaders(photos: Path) -> None:
    datamodule = folder(photos)
    images, labels = datamodule.first_training_batch(16)
    expected = epoch_of(datamodule.train_dataloader(), 0)[0]
    assert torch.equal(images, expected[0].float() / 255)
    assert torch.equal(labels, expected[1])
    assert len(datamodule.first_training_batch(2)[0]) == 2


def test_batches_are_scaled_and_normalised_on_their_device(photos: Path) -> None:
    batch = next(iter(folder(photos).val_dataloader()))
    assert batch[0].dtype == torch.uint8
    plain, labels = folder(photos).on_after_batch_transfer(batch, 0)
    assert torch.equal(plain, batch[0].float() / 255)
    assert torch.equal(labels, batch[1])
    normalised, _ = folder(photos, mean=[0.5, 0.4, 0.3], std=[0.1, 0.2, 0.3]).on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(normalised[:, 1], (plain[:, 1] - 0.4) / 0.2)


def test_two_workers_give_the_same_batches(photos: Path) -> None:
    here, there = (folder(photos, num_workers=workers).train_dataloader() for workers in (0, 2))
    for epoch in (0, 1):
        for one, other in zip(epoch_of(here, epoch), epoch_of(there, epoch), strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])


def test_batches_to_overfit_are_mixed_and_the_same_each_epoch(photos: Path) -> None:
    datamodule = folder(photos)
    expected = epoch_of(datamodule.train_dataloader(), 0)
    datamodule.trainer = SimpleNamespace(overfit_batches=2, world_size=1, global_rank=0, current_epoch=0)  # type: ignore[assignment]
    loader = datamodule.train_dataloader()
    assert isinstance(loader.sampler, SequentialSampler), "or the Trainer would put one in its place"
    for _ in range(2):
        for one, other in zip(loader, expected, strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])


def test_what_is_seen_without_decoding(photos: Path, tmp_path: Path) -> None:
    assert folder(photos).findings() == []
    root = shutil.copytree(photos, tmp_path / "photos")
    shutil.copy(root / "train/ants/0001.jpg", root / "val/ants/copy.jpg")
    shutil.copy(root / "train/ants/0002.jpg", root / "train/bees/wrong.jpg")
    for file in sorted((root / "train/bees").glob("000*.jpg"))[1:]:
        file.unlink()
    labels, splits, balance = folder(root).findings()
    assert labels.startswith("1 × identical photos with two labels, such as")
    assert {"0002.jpg", "wrong.jpg"} == {
        Path(part).name for part in labels.split(": ")[0].split(" as ")[1].split(" and ")
    }
    assert splits.startswith("1 × identical photos in two splits, such as")
    assert balance == "unbalanced: 8 of ants, 2 of bees in training"
    for split in ("train", "val"):
        (root / split / "bees").rename(root / split / "Ants")
    assert folder(root).findings()[-1].startswith("classes 'Ants' and 'ants' differ only in spelling")
