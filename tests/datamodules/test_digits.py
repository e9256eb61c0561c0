from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits

from datamodules.digits import Digits, read_digits

ROOT = Path(__file__).parents[2]


def build(**settings: Any) -> Digits:
    config = OmegaConf.load(ROOT / "conf/datamodule/digits.yaml")
    datamodule: Digits = instantiate(OmegaConf.merge(config, {"seed": 0, **settings}))
    datamodule.setup("fit")
    return datamodule


@pytest.fixture(scope="module")
def digits() -> Digits:
    return build()


def test_scaled_up_as_pillow_does():
    images, labels = read_digits()
    raw = load_digits()
    assert images.shape == (1797, 1, 32, 32)
    assert torch.equal(labels, torch.from_numpy(raw.target))
    for index in (0, 1000, 1796):
        picture = Image.fromarray(raw.images[index].astype(np.float32) * 255 / 16)
        scaled = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR))
        assert np.abs(images[index, 0].numpy() - scaled).max() <= 0.51  # rounded to whole values


def test_splits_hold_every_digit_once_and_each_class_in_its_share(digits):
    assert digits.counts() == {"train": 1257, "val": 180, "test": 360}
    every = torch.cat([images.flatten(1) for images, _ in digits.splits.values()])
    assert torch.equal(every.unique(dim=0), read_digits()[0].flatten(1).unique(dim=0))
    for split, size in (("val", 18), ("test", 36)):
        assert (torch.bincount(digits.splits[split][1]) - size).abs().max() <= 1


def test_the_seed_draws_validation_but_not_test(digits):
    other = build(seed=1)
    assert torch.equal(other.splits["test"][0], digits.splits["test"][0])
    assert not torch.equal(other.splits["val"][0], digits.splits["val"][0])


def test_batches_are_grey_in_0_to_1(digits):
    images, labels = next(iter(digits.train_dataloader()))[0]
    assert images.shape == (4, 1, 32, 32)
    assert labels.shape == (4,)
    assert 0 <= images.min() < images.max() <= 1
    assert digits.images("test", [0, 1]).shape == (2, 3, 32, 32)  # to look at
    assert (digits.name, digits.source, digits.has_test) == ("digits", "official", True)
    assert list(digits.classes) == [str(digit) for digit in range(10)]
