from types import SimpleNamespace

from omegaconf import OmegaConf

from engine.run.data_facts import data_facts

CFG = OmegaConf.create({"network": {"_target_": "networks.lenet.LeNet"}})
NAMED = {"name": "mine", "source": "local"}


def test_what_the_datamodule_tells_of_itself() -> None:
    data = data_facts(CFG, SimpleNamespace(**NAMED, classes=("a", "b"), input_shape=(3, 64, 64)))["data"]
    assert data == {**NAMED, "classes": ["a", "b"], "input_shape": [3, 64, 64]}


def test_nothing_is_guessed() -> None:
    data = data_facts(CFG, SimpleNamespace(**NAMED))["data"]
    assert data == {**NAMED, "classes": [], "input_shape": None}


def test_what_must_not_be_overlooked() -> None:
    assert data_facts(CFG, SimpleNamespace(**NAMED))["notices"] == []
    (notice,) = data_facts(CFG, SimpleNamespace(name="mine", source="stand-in"))["notices"]
    assert notice.startswith("STAND-IN DATA")
