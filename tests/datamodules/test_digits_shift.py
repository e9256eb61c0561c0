from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from datamodules.digits import read_digits
from datamodules.digits_shift import DigitsShift
from functional.textures import coloured_textures

ROOT = Path(__file__).parents[2]


def build(**settings: Any) -> DigitsShift:
    files = ("digits", "digits_shift")
    config = OmegaConf.merge(*(OmegaConf.load(ROOT / f"conf/datamodule/{file}.yaml") for file in files))
    del config["defaults"]
    datamodule: DigitsShift = instantiate(OmegaConf.merge(config, {"seed": 0, **settings}))
    datamodule.setup("fit")
    return datamodule


@pytest.fixture(scope="module")
def shift() -> DigitsShift:
    return build()


def test_the_target_is_the_texture_less_the_digit(shift):
    digits, labels = read_digits()
    textures = coloured_textures(1797, size=32, seed=0)
    blended = ((0.5 * textures - digits / 255).abs() * 255).round().to(torch.uint8)
    assert torch.equal(shift.split(blended, labels)["test"][0], shift.splits["test"][0])
    assert torch.equal(shift.split(blended, labels)["train"][0], shift.target)
    assert torch.equal(shift.split(digits, labels)["train"][0].expand(-1, 3, -1, -1), shift.splits["train"][0])


def test_the_target_is_the_same_data_for_every_seed(shift):
    assert torch.equal(build(seed=1).splits["test"][0], shift.splits["test"][0])


def test_without_strength_the_domains_are_one():
    same = build(strength=0.0)
    assert torch.equal(same.target, same.splits["train"][0])


def test_batches_pair_every_source_digit_with_a_target_digit_once_an_epoch(shift):
    loader = build(batch_size=50, drop_last=False).train_dataloader()
    sources, targets = (shift.splits["train"][0].flatten(1), shift.target.flatten(1))
    partners = []
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        pairs, labels = (torch.cat(tensors) for tensors in zip(*loader, strict=True))
        assert pairs.shape == (1257, 2, 3, 32, 32)
        assert labels.shape == (1257,)
        source, target = (pairs * 255).round().to(torch.uint8).flatten(2).unbind(1)
        assert torch.equal(source.unique(dim=0), sources.unique(dim=0))
        assert torch.equal(target.unique(dim=0), targets.unique(dim=0))
        partners.append(shift.partners(epoch))
        where = {tuple(row.tolist()): index for index, row in enumerate(sources[:, ::97])}
        for row in range(0, 1257, 100):
            index = where[tuple(source[row, ::97].tolist())]
            assert torch.equal(target[row], targets[partners[-1][index]])
            assert labels[row] == shift.splits["train"][1][index]
    assert (partners[0] == partners[1]).float().mean() < 0.01
    assert (partners[0] == torch.arange(1257)).float().mean() < 0.01


def test_evaluation_is_on_the_target_alone(shift):
    images, labels = next(iter(shift.test_dataloader()))
    assert images.shape == (180, 3, 32, 32)
    assert torch.equal((images * 255).round().to(torch.uint8), shift.splits["test"][0][:180])
    assert torch.equal(labels, shift.splits["test"][1][:180])


def test_what_is_shown_has_its_own_labels(shift):
    images, labels = shift.first_training_batch(6)
    assert images.shape == (6, 3, 32, 32)
    train_labels, partners = shift.splits["train"][1], shift.partners(0)
    for place in range(3):
        assert torch.equal((images[2 * place] * 255).round(), shift.splits["train"][0][place].float())
        assert torch.equal((images[2 * place + 1] * 255).round(), shift.target[partners[place]].float())
        assert labels[2 * place : 2 * place + 2].tolist() == train_labels[[place, int(partners[place])]].tolist()
