"""Modules from published packages, and as Lightning's documentation has them: trained, killed, resumed, evaluated."""

import random
import re
from pathlib import Path

import pytest
import yaml

from engine.run.trust.allowlist import ALLOW
from tests.conftest import run_script
from tests.killing import differences, run_through, run_with_kills

EXPERIMENT = """# @package _global_
defaults:
  - override /datamodule: digits
  - override /network: null
  - override /loss: null
  - override /optimizer: null
  - override /scheduler: null
  - override /lightning_module: PART
datamodule: {batch_size: 64}
trainer: {max_epochs: 5, accelerator: cpu, devices: 1}
callback: {last_checkpoint: {min_seconds: 0}}
"""

FLAT = {"_target_": "tests.strangers.Flat", "width": 1024}
PARTS = {
    "gan": ({"_target_": "tests.strangers.GAN", "lr": 0.002}, "val_loss"),
    "peculiar": ({"_target_": "tests.strangers.peculiar"}, "val_loss"),
    "unified": ({"_target_": "tests.strangers.Unified"}, "val_loss"),
    "lightly": (
        {
            "_target_": "lightly.utils.benchmarking.LinearClassifier",
            "model": {**FLAT, "num_classes": 32},
            "batch_size_per_device": "${datamodule.batch_size}",
            "feature_dim": 32,
            "num_classes": 10,
            "topk": [1, 5],
            "lr": 0.1,
        },
        "val_loss",
    ),
    "torch_uncertainty": (
        {
            "_target_": "torch_uncertainty.routines.ClassificationRoutine",
            "model": {**FLAT, "num_classes": 10},
            "num_classes": 10,
            "loss": {"_target_": "torch.nn.CrossEntropyLoss"},
            "optim_recipe": {
                "_target_": "torch_uncertainty.optim_recipes.optim_abnn",
                "_partial_": True,
                "lr": 0.01,
            },
        },
        "val/cls/NLL",
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_trained_killed_resumed_evaluated_and_exported(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From YAML alone, with the same bits as without the kill: its random draws continue, too."""
    monkeypatch.setenv(ALLOW, "tests,lightly,torch_uncertainty")
    node, metric = PARTS[part]
    for group, text in (("lightning_module", yaml.safe_dump(node)), ("experiment", EXPERIMENT.replace("PART", part))):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{part}.yaml").write_text(text)
    arguments = (
        "--config-dir",
        str(tmp_path / "conf"),
        f"experiment={part}",
        f"monitor.metric={metric}",
        "monitor.mode=min",
    )
    whole, seconds = run_through(tmp_path / "whole", arguments)
    killed, _ = run_with_kills(tmp_path / "killed", arguments, draw=random.Random(part), seconds=seconds, kills=1)
    assert differences(whole, killed) == []
    done = run_script("evaluate.py", f"run={killed}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"│ {metric} +│ +\S+ │ +the same │", done.stdout), done.stdout
    assert (killed / "evaluation_val_best.json").is_file()
    shape = ["input_shape=[16]"] if part == "gan" else []
    done = run_script("export.py", f"run={killed}", "format=state_dict", *shape, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "network.state_dict.pt: largest difference 0 on 16 " in done.stdout
