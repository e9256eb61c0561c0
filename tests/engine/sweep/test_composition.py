"""Jobs have the configs that Hydra composes for them."""

from collections.abc import Iterator
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf

from engine.config.resolvers import register_resolvers
from engine.sweep.composition import JobConfigs
from tests.conftest import ROOT

SHARED = "experiment=transfer_feature_extractor network=efficientnet_lite0"


class Loader:
    """Hydra's own, which counts what it composes."""

    def __init__(self) -> None:
        self.hydra = Hydra.create_main_hydra2("train", create_config_search_path(str(ROOT / "conf")))
        self.composed = 0

    def master(self) -> DictConfig:
        return self.hydra.compose_config(
            "train", ["hydra.sweep.dir=sweep", *SHARED.split()], RunMode.MULTIRUN, with_log_configuration=False
        )

    def load_sweep_config(self, master: DictConfig, overrides: list[str]) -> DictConfig:
        self.composed += 1
        return self.hydra.config_loader.load_sweep_config(master, overrides)


@pytest.fixture
def loader() -> Iterator[Loader]:
    register_resolvers()
    setbase("1.3")
    setup_globals()
    GlobalHydra.instance().clear()
    yield Loader()
    GlobalHydra.instance().clear()


def content(config: DictConfig) -> Any:
    """All that a config holds, its types too, and where it takes new keys."""
    nodes: list[Any] = [("", config)]
    found = []
    for path, node in nodes:
        found.append((path, type(node), node._metadata.flags, node._metadata.ref_type))
        for key in node if OmegaConf.is_dict(node) and not node._is_none() else ():
            child = node._get_node(key)
            nodes += [(f"{path}.{key}", child)] if OmegaConf.is_config(child) else []
            found += [] if OmegaConf.is_config(child) else [(f"{path}.{key}", type(child), child._value())]
    return found, OmegaConf.to_yaml(config)


BATCHES = {
    "numbers": (1, ["seed=0 optimizer.lr=0.1", "seed=1 optimizer.lr=0.1", "seed=2 optimizer.lr=1e-3"]),
    "other types": (2, ["optimizer.lr=0.1", "optimizer.lr=1", "optimizer.lr=2"]),
    "text": (2, ["seed=0 name=a", "seed=1 name=b", "seed=2 name=b"]),
    "a choice": (2, ["optimizer=adam seed=1", "optimizer=sgd seed=1", "optimizer=sgd seed=2"]),
    "more keys": (3, ["+optimizer.dampening=0.1", "+optimizer.dampening=0.2", "+optimizer.dampening=0.3"]),
    "fewer keys": (1, ["~optimizer.nesterov seed=0", "~optimizer.nesterov seed=1"]),
    "twice": (2, ["seed=0 seed=1", "seed=1 seed=2"]),
    "a whole group": (
        1,
        ["monitor={mode:min} seed=1", "monitor={mode:min} seed=2"],
    ),
    "Hydra's own": (2, ["hydra.job.num=3 seed=1", "hydra.job.num=4 seed=2"]),
    "linked": (1, ["trainer.max_epochs=3 datamodule.image_size=64", "trainer.max_epochs=5 datamodule.image_size=96"]),
    "another key's": (1, ["seed=0 optimizer.lr=${trainer.max_epochs}", "seed=1 optimizer.lr=${trainer.max_epochs}"]),
}


@pytest.mark.parametrize(("composed", "jobs"), BATCHES.values(), ids=BATCHES.keys())
def test_as_hydra_composes_them(composed: int, jobs: list[str], loader: Loader) -> None:
    master = loader.master()
    configs = JobConfigs(loader)
    for job in jobs:
        overrides = [*SHARED.split(), *job.split()]
        given = configs.load_sweep_config(master, overrides)
        expected = loader.hydra.config_loader.load_sweep_config(master, overrides)
        assert content(given) == content(expected)
        given.seed, given.monitor.metric = 77, None  # a job may change its own
    assert loader.composed == composed
