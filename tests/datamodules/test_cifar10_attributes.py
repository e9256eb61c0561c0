from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from datamodules.cifar10 import CIFAR10
from datamodules.cifar10_attributes import ATTRIBUTES, CIFAR10Attributes
from datamodules.cifar10_files import OFFICIAL_CLASSES
from datamodules.stand_ins import write as stand_in
from engine.downloads import official_data
from engine.downloads.download import DownloadError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[CIFAR10, CIFAR10Attributes]:
    """The same stand-in images with a class each, and with attributes."""

    def refuse(*_: Any) -> None:
        raise DownloadError("no network")

    monkeypatch.setattr(official_data, "download", refuse)
    monkeypatch.setattr(stand_in, "RECORDS", 100)
    plain = OmegaConf.load(ROOT / "conf/datamodule/cifar10.yaml")
    attributes = OmegaConf.load(ROOT / "conf/datamodule/cifar10_attributes.yaml")
    del attributes["defaults"]
    settings = {"data_dir": str(tmp_path), "seed": 0, "stand_in": True}
    built = [instantiate(OmegaConf.merge(plain, config, settings)) for config in ({}, attributes)]
    for datamodule in built:
        datamodule.prepare_data()
        datamodule.setup("fit")
    return built[0], built[1]


def test_targets_are_the_attributes_of_the_class(both):
    plain, attributes = both
    assert attributes.classes == list(ATTRIBUTES)
    for split, (images, targets) in attributes.splits.items():
        assert torch.equal(images, plain.splits[split][0])
        assert targets.dtype == torch.float32
        for label, row in zip(plain.splits[split][1].tolist(), targets, strict=True):
            has = {name for name, value in zip(attributes.classes, row.tolist(), strict=True) if value == 1}
            assert has == {name for name, owners in ATTRIBUTES.items() if OFFICIAL_CLASSES[label] in owners}


def test_attributes_name_classes_that_there_are():
    assert {owner for owners in ATTRIBUTES.values() for owner in owners} == set(OFFICIAL_CLASSES)
    assert set(ATTRIBUTES["animal"]).isdisjoint(ATTRIBUTES["vehicle"])


def test_a_frog_is_an_animal_on_four_legs_that_lives_in_water():
    names = [name for name, owners in ATTRIBUTES.items() if "frog" in owners]
    assert names == ["animal", "lives_in_water", "four_legs"]
