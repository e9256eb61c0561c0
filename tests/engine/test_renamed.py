"""A run directory that commit 9957fc1 wrote: two epochs of transfer_finetune of a tiny network."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from engine.renamed import RENAMED, with_todays_names
from engine.run.trust.stored_config import read_run_config
from tests.conftest import ROOT, RunTrain, metrics_of, run_script

OLD = Path(__file__).parent / "run_of_9957fc1"
P_ANTS_OF_THE_FIRST = 0.506149
"""What predict.py of that commit said of val/ants/0000.jpg."""


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "old_run"))


def test_its_config_names_todays_modules(old_run: Path) -> None:
    written = (old_run / "config.yaml").read_text()
    assert "_target_: callbacks.last_checkpoint.LastCheckpoint" in written
    config = read_run_config(old_run, "run=old_run")
    assert config.callback.last_checkpoint._target_ == "engine.checkpoints.last_checkpoint.LastCheckpoint"
    assert config.scheduler.scheduler._target_ == "functional.schedules.triangular"
    assert "charts" in written
    assert "charts" not in config.callback, "a callback that no longer exists"


@pytest.mark.parametrize("module", RENAMED.values())
def test_every_new_name_is_a_module_or_in_one(module: str) -> None:
    parts = module.split(".")
    if parts[-1][0].isupper():
        assert f"class {parts.pop()}(" in (ROOT / Path(*parts).with_suffix(".py")).read_text()
    assert (ROOT / Path(*parts).with_suffix(".py")).is_file()


def test_a_member_of_a_family_gets_its_name() -> None:
    old = {"_target_": "networks.efficientnet_lite0.EfficientNetLite0", "num_classes": 2, "pretrained": True}
    assert with_todays_names({"network": old}) == {
        "network": old | {"_target_": "networks.efficientnet_lite.EfficientNetLite", "name": "efficientnet_lite0"}
    }


def test_it_is_evaluated_to_the_bit(old_run: Path, data_dir: Path) -> None:
    done = run_script("evaluate.py", f"run={old_run}", f"datamodule.data_dir={data_dir}", cwd=old_run.parent)
    assert done.returncode == 0, done.stderr
    evaluated = json.loads((old_run / "evaluation_hymenoptera_val_best.json").read_text())
    assert evaluated["val/acc"] == metrics_of(OLD)["best/val/acc"]


def test_it_predicts(old_run: Path, data_dir: Path) -> None:
    photos = data_dir / "hymenoptera_data" / "val"
    done = run_script("predict.py", f"run={old_run}", f"input={photos}", "output=photos.csv", cwd=old_run.parent)
    assert done.returncode == 0, done.stderr
    with (old_run.parent / "photos.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert float(rows[0]["p_ants"]) == pytest.approx(P_ANTS_OF_THE_FIRST, abs=1e-5)


def test_it_is_exported(old_run: Path) -> None:
    done = run_script("export.py", f"run={old_run}", "format=safetensors", cwd=old_run.parent)
    assert done.returncode == 0, done.stderr
    assert (old_run / "network.safetensors").is_file()


def test_it_is_resumed(old_run: Path, data_dir: Path, run_train: RunTrain) -> None:
    done = run_train(f"resume={old_run}", "trainer.max_epochs=3", f"datamodule.data_dir={data_dir}", cwd=old_run.parent)
    assert done.returncode == 0, done.stderr
    assert metrics_of(old_run)["epochs"] == 3
    assert "callbacks.last_checkpoint" not in (old_run / "config.yaml").read_text()
