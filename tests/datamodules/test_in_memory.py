from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.in_memory import InMemory, Split
from engine.data.chunk import Chunk
from engine.errors import DataError

SETTINGS = {
    "num_classes": 3,
    "flip": "none",
    "translate": 0,
    "cutout": 0,
    "mean": None,
    "std": None,
    "batch_size": 4,
    "eval_batch_size": 5,
    "drop_last": False,
    "chunk": 1,
    "seed": 0,
}


class Noise(InMemory):
    """22 training, 7 validation and 6 test images of noise, 8 × 8."""

    name, source = "noise", "local"

    def __init__(
        self, *, splits: tuple[str, ...] = ("train", "val", "test"), channels: int = 3, **settings: Any
    ) -> None:
        super().__init__(**{**SETTINGS, **settings})
        generator = torch.Generator().manual_seed(0)
        self.made: dict[str, Split] = {
            split: (
                torch.randint(0, 256, (size, channels, 8, 8), dtype=torch.uint8, generator=generator),
                torch.arange(size) % 3,
            )
            for split, size in (("train", 22), ("val", 7), ("test", 6))
            if split in splits
        }

    def load(self) -> dict[str, Split]:
        self.classes = ["a", "b", "c"]
        return dict(self.made)


def noise(**settings: Any) -> Noise:
    datamodule = Noise(**settings)
    datamodule.setup("fit")
    return datamodule


def joined(loader: Any) -> tuple[Tensor, Tensor]:
    batches = [batch for item in loader for batch in (item if isinstance(item, Chunk) else [item])]
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def trainer(**state: Any) -> Any:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    plain = {"overfit_batches": 0.0, "global_rank": 0, "world_size": 1, "callbacks": [], "strategy": strategy}
    return SimpleNamespace(**{**plain, **state})


def test_batches_of_each_split_are_its_images_normalised_with_their_targets():
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    datamodule = noise(mean=mean, std=std)
    for split, loader in (("val", datamodule.val_dataloader()), ("test", datamodule.test_dataloader())):
        images, labels = joined(loader)
        raw, targets = datamodule.made[split]
        for channel in range(3):
            expected = (raw[:, channel] / 255 - mean[channel]) / std[channel]
            torch.testing.assert_close(images[:, channel], expected)
        assert torch.equal(labels, targets)
    assert [len(labels) for _, labels in datamodule.val_dataloader()] == [5, 2]


def test_each_epoch_shows_every_training_image_once_in_another_order():
    datamodule = noise()
    loader = datamodule.train_dataloader()
    raw = datamodule.made["train"][0].float() / 255
    seen = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        images, labels = joined(loader)
        found = [(image == raw).flatten(1).all(1).nonzero().item() for image in images]
        assert sorted(found) == list(range(22))
        assert [int(label) for label in labels] == [index % 3 for index in found]
        seen.append(found)
    assert seen[0] != seen[1]


def test_only_training_images_are_augmented():
    datamodule = noise(flip="random", translate=2, cutout=3)
    images, _ = joined(datamodule.train_dataloader())
    raw = datamodule.made["train"][0].float() / 255
    assert not any((image == raw).flatten(1).all(1).any() for image in images)
    assert torch.equal(joined(datamodule.val_dataloader())[0], datamodule.made["val"][0].float() / 255)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [[4, 4], [4, 4], [4, 2]]), (True, [[4, 4], [4, 4], [4]])])
def test_training_batches_come_in_chunks(drop_last, sizes):
    chunks = list(noise(chunk=2, drop_last=drop_last).train_dataloader())
    assert [[len(labels) for _, labels in chunk] for chunk in chunks] == sizes


def test_processes_share_an_epoch():
    shares = []
    for rank in range(2):
        datamodule = noise()
        datamodule.trainer = trainer(global_rank=rank, world_size=2)
        shares.append(joined(datamodule.val_dataloader())[0])
    raw = datamodule.made["val"][0].float() / 255
    assert torch.equal(shares[0], raw[::2])
    assert torch.equal(shares[1], raw[1::2])


def test_overfitting_takes_the_same_batches_in_each_epoch():
    datamodule = noise()
    datamodule.trainer = trainer(overfit_batches=2)
    loader = datamodule.train_dataloader()
    for epoch in range(2):
        loader.set_epoch(epoch)
        assert torch.equal(next(iter(loader))[0], datamodule.made["train"][0][:4].float() / 255)


def test_the_first_batch_is_shown_as_the_network_sees_it_but_in_0_to_1():
    settings = {"flip": "random", "translate": 2, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    datamodule = noise(**settings)
    shown, labels = datamodule.first_training_batch(3)
    inputs, targets = next(iter(datamodule.train_dataloader()))
    for channel in range(3):
        expected = inputs[:3, channel] * settings["std"][channel] + settings["mean"][channel]
        torch.testing.assert_close(shown[:, channel], expected)
    assert torch.equal(labels, targets[:3])
    assert len(datamodule.first_training_batch(100)[0]) == 4


def test_images_and_labels_by_index():
    datamodule = noise()
    assert torch.equal(datamodule.images("test", [5, 0]), datamodule.made["test"][0][[5, 0]].float() / 255)
    assert datamodule.labels("test", [5, 0]) == [2, 0]
    assert datamodule.counts() == {"train": 22, "val": 7, "test": 6}
    assert datamodule.has_test
    assert not noise(splits=("train", "val")).has_test


def test_grey_images_are_shown_in_three_channels():
    datamodule = noise(channels=1)
    assert datamodule.images("val", [0, 1]).shape == (2, 3, 8, 8)
    assert datamodule.first_training_batch(2)[0].shape == (2, 3, 8, 8)
    assert next(iter(datamodule.train_dataloader()))[0].shape == (4, 1, 8, 8)


def test_normalized_training_images_are_the_first_ones_as_they_are():
    datamodule = noise(flip="random", translate=2, mean=[0.5] * 3, std=[0.25] * 3)
    images = datamodule.normalized_training_images(5)
    torch.testing.assert_close(images, (datamodule.made["train"][0][:5] / 255 - 0.5) / 0.25)
    assert len(datamodule.normalized_training_images(100)) == 22


def test_without_validation_images_a_monitor_of_theirs_is_refused():
    datamodule = noise(splits=("train", "test"))
    assert datamodule.val_dataloader() == []
    datamodule.trainer = trainer(callbacks=[SimpleNamespace(), SimpleNamespace(monitor="train/loss")])
    datamodule.setup("fit")
    datamodule.trainer = trainer(callbacks=[SimpleNamespace(monitor="val/acc")])
    with pytest.raises(DataError, match=r"monitor\.metric=train/loss monitor\.mode=min"):
        datamodule.setup("fit")


def test_impossible_settings_are_refused():
    with pytest.raises(DataError, match=r"noise has 3 classes, but datamodule\.num_classes is 4"):
        noise(num_classes=4)
    with pytest.raises(DataError, match=r"22 training images, fewer than the datamodule\.batch_size of 23"):
        noise(drop_last=True, batch_size=23)


@pytest.mark.parametrize(("split", "label"), [("train", 3), ("train", -1), ("val", 10), ("test", 255)])
def test_a_label_out_of_range_is_refused_before_training(split, label):
    datamodule = Noise()
    datamodule.made[split][1][2] = label
    with pytest.raises(DataError, match=rf"noise's {split} split has labels from .*{label}.* 3 classes have 0 to 2"):
        datamodule.setup("fit")


def test_targets_that_are_no_labels_may_have_any_value():
    datamodule = Noise()
    images, labels = datamodule.made["train"]
    datamodule.made["train"] = images, labels.float() * 100
    datamodule.setup("fit")


def test_batches_that_are_on_the_device_are_not_moved():
    batch = next(iter(noise(chunk=2).train_dataloader()))
    assert noise().transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    moved = noise().transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [inputs.device.type for inputs, _ in moved] == ["meta", "meta"]
