from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from engine.report.settings import Change, changes
from engine.run.config_file import stored
from tests.conftest import Compose


def config_of(compose: Compose, folder: Path, *overrides: str) -> Mapping[Any, Any]:
    """As config.yaml has it."""
    config: Mapping[Any, Any] = yaml.safe_load(stored(compose(*overrides, run_dir=folder)))
    return config


@pytest.mark.parametrize(
    "experiment", ["lenet_nll", "transfer_finetune", "transfer_cross_validation", "regression_adam"]
)
def test_an_experiment_as_it_is_differs_in_nothing(experiment: str, compose: Compose, tmp_path: Path) -> None:
    overrides = [f"experiment={experiment}"]
    assert changes(config_of(compose, tmp_path, *overrides), overrides) == []


def test_what_was_changed_and_what_came_with_it(compose: Compose, tmp_path: Path) -> None:
    overrides = ["experiment=lenet_nll", "optimizer=adam", "optimizer.lr=0.5", "+loss.reduction=sum", "seed=3"]
    found = changes(config_of(compose, tmp_path, *overrides), overrides) or []
    assert Change("optimizer._target_", "torch.optim.SGD", "torch.optim.Adam") in found
    assert Change("optimizer.lr", 0.01, 0.5) in found
    assert Change("seed", 0, 3) in found
    assert {change.key for change in found if change.default == "–"} >= {"loss.reduction"}
    assert not [change for change in found if change.key.startswith(("datamodule", "network", "trainer"))]


def test_a_value_in_the_place_of_a_computed_one_is_a_change(compose: Compose, tmp_path: Path) -> None:
    overrides = ["experiment=transfer_finetune", "datamodule.num_workers=0"]
    found = changes(config_of(compose, tmp_path, *overrides), overrides)
    assert found == [Change("datamodule.num_workers", "${usable_cores:}", 0)]


@pytest.mark.parametrize("experiment", ["there_is_none", "../../../etc/x", "${oc.env:HOME}", "[a,b]"])
def test_no_comparison_with_an_experiment_that_is_not_here(experiment: str) -> None:
    config = OmegaConf.to_container(OmegaConf.create({"name": "x"}))
    assert isinstance(config, dict)
    assert changes(config, [f"experiment={experiment}"]) is None
