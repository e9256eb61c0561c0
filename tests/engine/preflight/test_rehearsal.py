"""Preflight makes little, once, and refuses nothing that would run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer

from engine.preflight.preflight import find_mistakes
from engine.preflight.rehearsal import culprit
from tests.conftest import Compose

DIGITS = "experiment=lenet_nll"


class Norm(Callback):
    """Logs a metric of its own."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("val/weight_norm", 1.0)


@pytest.mark.parametrize(
    "overrides",
    [
        "seed=4294967295",
        "+loss.weight=[1.0,2.0]",
        "+loss.weight={_target_:torch.tensor,data:[1.,2.]}",
        "datamodule=cifar10 cache=false network=cifar_resnet lightning_module=classifier "
        "+loss.weight={_target_:torch.tensor,data:[1.,1.,1.,1.,1.,1.,1.,1.,1.,2.]}",
        "+callback.gas={_target_:pytorch_lightning.callbacks.GradientAccumulationScheduler,scheduling:{0:4}}",
        "trainer.max_epochs=-1 +trainer.max_time={seconds:4} scheduler=constant cache=false",
        "+trainer.max_time=00:00:00:04",
        "+callback.own={_target_:tests.engine.preflight.test_rehearsal.Norm} monitor.metric=val/weight_norm",
        f"{DIGITS} ~optimizer +optimizer={{_target_:torch.optim.LBFGS,_partial_:true,lr:0.1}}",
        f"{DIGITS} ~optimizer +optimizer={{_target_:torch.optim.AdamW,_partial_:true,lr:1,betas:[0.9,0.9],fused:true}}",
        f"{DIGITS} ~optimizer +optimizer={{_target_:timm.optim.Lamb,_partial_:true,lr:0.1}}",
        "trainer.gradient_clip_val=1.0 trainer.precision=bf16-mixed",
    ],
)
def test_what_would_run_passes(overrides: str, compose: Compose, tmp_path: Path) -> None:
    assert find_mistakes(compose(*overrides.split(), run_dir=tmp_path)).lines == {}


@pytest.mark.parametrize("name", ["Adadelta", "Adagrad", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"])
def test_torchs_optimizers(name: str, compose: Compose, tmp_path: Path) -> None:
    node = f"+optimizer={{_target_:torch.optim.{name},_partial_:true,lr:0.1}}"
    assert find_mistakes(compose(DIGITS, "~optimizer", node, run_dir=tmp_path)).lines == {}
    wrong = node.replace("0.1", "-1")
    lines = find_mistakes(compose(DIGITS, "~optimizer", wrong, run_dir=tmp_path)).lines
    assert list(lines) == ["optimizer.lr"]


@pytest.mark.parametrize(
    "schedule",
    [
        "LinearLR,_partial_:true",
        "ExponentialLR,_partial_:true,gamma:0.9",
        "MultiStepLR,_partial_:true,milestones:[1,2]",
        "PolynomialLR,_partial_:true,total_iters:3",
        "CosineAnnealingWarmRestarts,_partial_:true,T_0:2",
        "CyclicLR,_partial_:true,base_lr:0.01,max_lr:0.1,cycle_momentum:false",
    ],
)
def test_torchs_schedules(schedule: str, compose: Compose, tmp_path: Path) -> None:
    node = f"scheduler.scheduler={{_target_:torch.optim.lr_scheduler.{schedule}}}"
    cfg = compose(DIGITS, "~scheduler.scheduler", f"+{node}", run_dir=tmp_path)
    assert find_mistakes(cfg).lines == {}


def test_an_error_blames_what_its_text_names() -> None:
    settings = {"momentum": 0, "betas": [1.5, 0.9], "lr": 0.1, "activation": "reluu"}
    assert culprit(settings, "Invalid beta parameter at index 0: 1.5") == "betas"
    assert culprit(settings, "unknown kind 'reluu'") == "activation"
    assert culprit(settings, "Invalid learning rate: -1") == "lr"
    assert culprit(settings, "0 is not allowed here") is None


def test_nothing_is_made_that_could_write(compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_mistakes(compose("logger=mlflow", run_dir=tmp_path)).lines == {}
    assert list(tmp_path.iterdir()) == []
    Refusing.made = 0
    target = f"{__name__}.Refusing"
    findings = find_mistakes(compose(DIGITS, "~loss", f"+loss={{_target_:{target},a:1,b:2}}", run_dir=tmp_path))
    assert (list(findings.lines.values()), Refusing.made) == (["loss.b=2: b must be odd"], 1)


class Refusing(torch.nn.Module):
    made = 0

    def __init__(self, a: int, b: int) -> None:
        Refusing.made += 1
        raise ValueError("b must be odd")


def test_any_keyword_of_a_part_of_ones_own(compose: Compose, tmp_path: Path) -> None:
    part = f"{{_target_:{__name__}.Keywords,batch_size:1,num_classes:10,num_workers:1,pin_memory:true}}"
    assert find_mistakes(compose(DIGITS, "~datamodule", f"+datamodule={part}", run_dir=tmp_path)).lines == {}


class Keywords(LightningDataModule):
    def __init__(self, *, batch_size: int, num_classes: int, **loader: Any) -> None:
        super().__init__()
        self.loader = {"batch_size": batch_size, **loader}
