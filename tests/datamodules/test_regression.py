from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from datamodules.regression import Regression
from engine.data.keyed import mix

ROOT = Path(__file__).parents[2]


def build(**settings: Any) -> Regression:
    config = OmegaConf.create({"seed": 0, "datamodule": OmegaConf.load(ROOT / "conf/datamodule/regression.yaml")})
    datamodule: Regression = instantiate(OmegaConf.merge(config, {"datamodule": settings}).datamodule)
    return datamodule


def test_the_batch_is_what_a_plain_program_draws():
    torch.manual_seed(mix(0))
    x, y = torch.randn(64, 1000), torch.randn(64, 10)
    assert torch.equal(build().x, x)
    assert torch.equal(build().y, y)
    assert not torch.equal(build(seed=1).x, x)


def test_the_weights_of_the_same_seed_are_other_numbers():
    torch.manual_seed(0)
    assert not torch.equal(build().x[:10], torch.randn(10, 1000))


def test_an_epoch_is_the_same_batch_over_and_over():
    datamodule = build(steps_per_epoch=7, chunk=3)
    chunks = list(datamodule.train_dataloader())
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    for x, y in (batch for chunk in chunks for batch in chunk):
        assert torch.equal(x, datamodule.x)
        assert torch.equal(y, datamodule.y)
    ((x, y),) = datamodule.val_dataloader()
    assert torch.equal(x, datamodule.x)
    assert torch.equal(y, datamodule.y)


def test_says_what_it_is():
    datamodule = build(batch_size=5)
    assert (datamodule.name, datamodule.source, datamodule.has_test) == ("regression", "generated", False)
    assert datamodule.counts() == {"train": 5}
