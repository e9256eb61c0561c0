"""Augmentation, mixing, metrics and averaging, each one override."""

import math
from pathlib import Path

import pytest
import torch

from functional.schedules import warmup_cosine
from tests.conftest import ROOT, RunTrain, Train, metrics_of

SMALL = ("experiment=transfer_finetune", "network=timm", "network.name=test_resnet", "network.pretrained=false")
SHORT = (*SMALL, "trainer.max_epochs=1", "callback=[plain]", "logger=csv")


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "augment").glob("*.yaml")))
def test_every_augmentation_trains(name: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    metrics = metrics_of(train_here(tmp_path, *tiny, *SHORT, f"augment={name}"))
    assert metrics["status"] == "completed"
    plain = metrics_of(train_here(tmp_path, *tiny, *SHORT))
    assert (metrics["train/loss"] == plain["train/loss"]) == (name == "tutorial")


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_images_and_more_metrics(name: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    metrics = metrics_of(train_here(tmp_path, *tiny, *SHORT, f"mix={name}", "metrics=[balanced_acc,f1,auroc]"))
    classes = [metrics["val/acc_ants"], metrics["val/acc_bees"]]
    assert metrics["val/balanced_acc"] == pytest.approx(sum(classes) / 2)
    assert 0 <= metrics["val/auroc"] <= 1
    assert "train/f1" not in metrics
    assert metrics["train/loss"] != metrics_of(train_here(tmp_path, *tiny, *SHORT))["train/loss"]


def test_features_are_not_mixed(tiny: tuple[str, ...], run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train(*tiny, *SMALL[1:], "trainer.max_epochs=1", "mix=mixup", cwd=tmp_path)
    assert done.returncode == 1
    assert "cache=false" in done.stderr
    assert "Traceback" not in done.stderr


def test_warmup_cosine() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = warmup_cosine(optimizer, total_steps=20, warmup=0.2, end=0.1)
    rates = []
    for _ in range(21):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[12] == pytest.approx(2 * (0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2))
    assert rates[20] == pytest.approx(0.2)
    with pytest.raises(ValueError, match="warmup 1"):
        warmup_cosine(optimizer, total_steps=20, warmup=1.0, end=0.0)
