"""Whatever ends a training before its last epoch is named, and lifted by the overrides that are offered."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, LambdaCallback, Timer
from torch.utils.data import DataLoader

from engine.training.early_end import early_end, is_lifted, lifting
from tests.conftest import RunTrain


class Logs(LightningModule):
    """Logs the given values as `val/loss`, one per epoch."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.layer, self.values = torch.nn.Linear(1, 1), values

    def training_step(self, batch: Any, index: int) -> Any:
        return self.layer(batch).sum()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val/loss", self.values[self.current_epoch])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.0)


def reason(tmp_path: Path, callback: Any, *values: float) -> str | None:
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        default_root_dir=tmp_path,
        callbacks=[callback],
        num_sanity_val_steps=0,
        **dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False),
    )
    trainer.fit(Logs(*values), DataLoader(torch.ones(2, 1)), DataLoader(torch.ones(2, 1)))
    return early_end(trainer)


@pytest.mark.filterwarnings("ignore:.*num_workers")
@pytest.mark.parametrize(
    ("settings", "values", "expected"),
    [
        ({"patience": 2}, (1, 1, 1, 1), "val/loss did not improve for 2 validations (patience 2)"),
        ({"patience": 2}, (1, 1, 0.5, 1), None),
        ({"stopping_threshold": 0.5}, (1, 0.4, 0.3, 0.2), "val/loss reached stopping_threshold=0.5"),
        ({"divergence_threshold": 9}, (1, 10, 1, 1), "val/loss passed divergence_threshold=9"),
        ({}, (1, float("nan"), 1, 1), "val/loss was not finite"),
    ],
)
def test_early_stopping(settings: Any, values: Any, expected: str | None, tmp_path: Path) -> None:
    assert reason(tmp_path, EarlyStopping("val/loss", **settings), *values) == expected


@pytest.mark.filterwarnings("ignore:.*num_workers")
def test_others(tmp_path: Path) -> None:
    assert reason(tmp_path, Timer({"milliseconds": 1}), 1, 1, 1, 1) == "its time of 0:00:00 was up"
    assert reason(tmp_path, Timer({"hours": 3}), 1, 1, 1, 1) is None
    stops = LambdaCallback(on_validation_end=lambda trainer, module: setattr(trainer, "should_stop", True))
    assert reason(tmp_path, stops, 1, 1, 1, 1) == "a callback stopped it"


def test_what_lifts_it() -> None:
    stopping = {"_target_": "pytorch_lightning.callbacks.EarlyStopping"}
    config = {"trainer": {"max_time": "00:01:00:00"}, "callback": {"mine": stopping, "ema": {"_target_": "a.EMA"}}}
    assert lifting(config) == ["trainer.max_time=null", "~callback.mine"]
    assert lifting({"trainer": {"max_time": None}, "callback": None}) == []
    assert is_lifted("~callback.mine", ["callback.mine.patience"])
    assert is_lifted("trainer.max_time=null", ["trainer.max_time"])
    assert not is_lifted("~callback.mine", ["trainer.max_epochs", "callback.miner"])


def test_a_stopped_run_goes_on_when_that_is_lifted(tmp_path: Path, run_train: RunTrain) -> None:
    stopping = ("callback=[plain,early_stopping]", "callback.early_stopping.patience=1", "optimizer.lr=0")
    first = ("experiment=lenet_nll", "trainer=cpu", "logger=csv", *stopping, "scheduler=constant")
    done = run_train(*first, "trainer.max_epochs=4", f"hydra.run.dir={tmp_path / 'r'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "after epoch 2 of 4: val/loss did not improve for 1 validation (patience 1)" in done.stdout
    assert "resume=r '~callback.early_stopping'" in done.stdout
    assert "The training ended early: val/loss did not improve" in (tmp_path / "r" / "report.html").read_text()
    again = run_train("resume=r", "trainer.max_epochs=8", cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr.strip() == (
        "trainer.max_epochs: the run has trained 2 epochs and stopped early, so this changes nothing; train on: "
        f"{again.stderr.split('train on: ')[1].strip()}"
    )
    assert again.stderr.strip().endswith("resume=r '~callback.early_stopping'")
    on = run_train("resume=r", "~callback.early_stopping", cwd=tmp_path)
    assert on.returncode == 0, on.stderr
    assert "4 epochs in" in on.stdout
    assert "│ stopped" not in on.stdout
