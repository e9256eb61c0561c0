from types import SimpleNamespace

import torch
from omegaconf import OmegaConf

from engine.run.data_facts import data_facts

CFG = OmegaConf.create({"network": {"_target_": "networks.lenet.LeNet"}})
NAMED = {"name": "mine", "source": "local"}


def test_photos() -> None:
    data = data_facts(CFG, SimpleNamespace(**NAMED, classes=("a", "b"), image_size=64))["data"]
    assert data == {**NAMED, "classes": ["a", "b"], "input_shape": [3, 64, 64]}


def test_images_in_memory() -> None:
    splits = {"train": (torch.zeros(5, 1, 8, 9), torch.zeros(5))}
    data = data_facts(CFG, SimpleNamespace(**NAMED, classes=["a"], splits=splits))["data"]
    assert data["input_shape"] == [1, 8, 9]


def test_vectors_and_what_is_not_known() -> None:
    data = data_facts(CFG, SimpleNamespace(**NAMED, batch=(torch.zeros(4, 7), torch.zeros(4, 2))))["data"]
    assert data == {**NAMED, "classes": [], "input_shape": [7]}
    assert data_facts(CFG, SimpleNamespace(**NAMED))["data"]["input_shape"] is None


def test_what_must_not_be_overlooked() -> None:
    assert data_facts(CFG, SimpleNamespace(**NAMED))["notices"] == []
    (notice,) = data_facts(CFG, SimpleNamespace(name="mine", source="stand-in"))["notices"]
    assert notice.startswith("STAND-IN DATA")
