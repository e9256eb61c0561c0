"""Mistakes that people make, each told at once with its key, what was given, what is expected, and the nearest name."""

import re
import time
import warnings
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf, open_dict

from engine.errors import UserError
from engine.preflight.preflight import find_mistakes, preflight
from tests.conftest import Compose
from tests.engine.preflight.mistakes import MISTAKES
from tests.test_train import EXPERIMENTS


def pattern(text: str) -> str:
    """`.*` and nothing else is a pattern."""
    return ".*".join(map(re.escape, text.split(".*")))


@pytest.mark.parametrize(("overrides", "says"), MISTAKES, ids=[overrides for overrides, _ in MISTAKES])
def test_mistakes(overrides: str, says: str, compose: Compose, tmp_path: Path) -> None:
    findings = find_mistakes(compose(*overrides.split(), run_dir=tmp_path))
    lines = list(findings.lines.values())
    assert any(re.match(pattern(says), line) for line in lines), findings.message()
    told = re.split("[=:]", says, maxsplit=1)[0]
    others = {key for key, line in findings.lines.items() if "refers to" not in line}
    assert others <= {told}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_passes(experiment: str, compose: Compose, tmp_path: Path) -> None:
    assert find_mistakes(compose(f"experiment={experiment}", run_dir=tmp_path)).lines == {}


@pytest.mark.parametrize(
    "overrides",
    [
        "optimizer=adamw scheduler=one_cycle",
        "scheduler=plateau",
        "scheduler=cosine +trainer.min_epochs=1",
        "callback=[default,early_stopping,lookahead] logger=[]",
        "network=timm network.name=test_vit",
        "features.precision=32 cache=false channels_last=true",
        "lightning_module.init=kaiming_normal",
        "monitor.metric=val/acc_ants",
        "monitor.metric=train/loss monitor.mode=min",
        "+width=64 datamodule.eval_batch_size=${width}",
        "+loss.reduction=sum compile={backend:aot_eager}",
        "trainer.max_epochs=-1 trainer.max_steps=10 scheduler=constant cache=false",
        "+trainer.enable_progress_bar=false +trainer.enable_checkpointing=false",
        "+callback.rich={_target_:pytorch_lightning.callbacks.RichProgressBar}",
        "debug=fast",
        "debug=profile",
        "sweep=seeds",
    ],
)
def test_what_is_right_passes(overrides: str, compose: Compose, tmp_path: Path) -> None:
    assert find_mistakes(compose(*overrides.split(), run_dir=tmp_path)).lines == {}


@pytest.mark.parametrize(
    "overrides",
    ["trainer=gpu trainer.devices=4", "trainer=fsdp trainer.num_nodes=2", "datamodule.num_workers=100000"],
)
def test_what_another_machine_may_have(overrides: str, compose: Compose, tmp_path: Path) -> None:
    """A sweep is checked on a cluster's login node, and its jobs run on others."""
    cfg = compose(*overrides.split(), run_dir=tmp_path)
    assert find_mistakes(cfg, elsewhere=True).lines == {}
    cfg.trainer.max_epochs = 0
    assert list(find_mistakes(cfg, elsewhere=True).lines) == ["trainer.max_epochs"]


def test_all_mistakes_are_told_at_once(compose: Compose, tmp_path: Path) -> None:
    overrides = ("trainer.max_epochs=ten", "optimizer.lr=-1", "seed=abc", "+optimizer.lrr=1", "monitor.mode=maxx")
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError) as caught:
        preflight(compose(*overrides, run_dir=tmp_path / "run"))
    heading, *lines = str(caught.value).splitlines()
    assert heading == "The config has 5 mistakes:"
    assert {line.split("=")[0] for line in lines} == {
        "  trainer.max_epochs",
        "  optimizer.lr",
        "  seed",
        "  optimizer.lrr",
        "  monitor.mode",
    }
    assert not (tmp_path / "run").exists()


def test_however_many_there_are_the_message_is_short(compose: Compose, tmp_path: Path) -> None:
    cfg = compose(run_dir=tmp_path)
    with open_dict(cfg):
        for number in range(40):
            cfg.trainer[f"wrong_{number}"] = number
    with pytest.raises(UserError) as caught:
        preflight(cfg)
    assert len(str(caught.value).splitlines()) <= 25
    assert str(caught.value).endswith("and 20 more")


def test_nothing_is_touched(compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither data nor weights, nor the generator that both come from."""
    monkeypatch.chdir(tmp_path)

    def touched(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("networks.resnet18._imagenet_state", touched)
    monkeypatch.setattr("engine.downloads.official_data.OfficialData.prepare", touched)
    cfg = compose("experiment=transfer_finetune", run_dir=tmp_path)
    before, state = OmegaConf.to_yaml(cfg), torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preflight(cfg)
    assert OmegaConf.to_yaml(cfg) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []


def test_it_costs_a_run_little(compose: Compose, tmp_path: Path) -> None:
    """What it imports, the run imports anyway."""
    cfg = compose("experiment=transfer_finetune", run_dir=tmp_path)
    preflight(cfg)
    seconds = []
    for _ in range(5):  # the quickest, as other processes may slow some down
        started = time.process_time()
        preflight(cfg)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.2
