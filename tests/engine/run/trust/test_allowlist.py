"""What a run's config may name. What it may not is in tests/security/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from engine.errors import UserError
from engine.run.trust import allowlist
from engine.run.trust.allowlist import unfit, unlisted
from engine.run.trust.locations import check_arguments
from engine.run.trust.stored_config import read_run_config
from tests.conftest import ROOT

NOT_A_RUNS = ("hydra_plugins.", "engine.sweep.ledger.")
"""Targets in conf/ that stand in the node `hydra`, which no run's config has."""


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "_target_")
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def test_everything_that_conf_names() -> None:
    files = sorted((ROOT / "conf").rglob("*.yaml"))
    named = {target for file in files for target in targets(OmegaConf.to_container(OmegaConf.load(file)))}
    named = {target for target in named if not target.startswith(NOT_A_RUNS)}
    assert len(named) > 50
    assert {target: unlisted(target) or unfit(target) for target in named} == dict.fromkeys(named)


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.Sequential",
        "torch.nn.modules.activation.ReLU",
        "torch.optim.lr_scheduler.LambdaLR",
        "torchmetrics.Accuracy",
        "torchmetrics.classification.MulticlassAccuracy",
        "torchvision.transforms.ToTensor",
        "torchvision.transforms.v2.RandomCrop",
        "pytorch_lightning.callbacks.LearningRateMonitor",
        "pytorch_lightning.loggers.CSVLogger",
        "pytorch_lightning.plugins.MixedPrecision",
        "pytorch_lightning.strategies.DDPStrategy",
        "torchvision.models.squeezenet1_0",
        "networks.two_layer.two_layer_sequential",
    ],
)
def test_other_things_that_an_experiment_is_made_of(target: str) -> None:
    assert (unlisted(target), unfit(target)) == (None, None)


def test_a_package_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is on the list; the config cannot put it there."""
    (tmp_path / "mine.py").write_text("from torch import nn\nclass Net(nn.Module): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "config.yaml").write_text("allow_targets: [mine]\nnetwork: {_target_: mine.Net}\n")
    with pytest.raises(UserError, match=r"network._target_=mine.Net is not allowed in a run's config"):
        read_run_config(tmp_path, "resume=x")
    listed = OmegaConf.load(allowlist.ALLOWED)
    OmegaConf.save([*listed, "mine"], tmp_path / "allow_targets.yaml")
    monkeypatch.setattr(allowlist, "ALLOWED", tmp_path / "allow_targets.yaml")
    allowlist._listed.cache_clear()
    try:
        assert read_run_config(tmp_path, "resume=x").network == {"_target_": "mine.Net"}
    finally:
        allowlist._listed.cache_clear()


def test_arguments_of_a_sweep(tmp_path: Path) -> None:
    arguments = [
        "experiment=x,y",
        "network=timm",
        "+callback=[default,lookahead]",
        "optimizer.lr=tag(log,interval(1,2))",
    ]
    arguments += ["seed=0,1,2", "datamodule.data_dir=/home/me/data", "hydra.launcher.n_jobs=2", "~optimizer.momentum"]
    check_arguments([*arguments, "hydra/job_logging=none", 'name="a b"', "trainer.max_epochs=1"], tmp_path)
