"""evaluate.py, predict.py and export.py on parts that know nothing of the engine."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from engine.checkpoints.checkpoint_io import AtomicCheckpointIO
from engine.errors import UserError
from engine.results.evaluation import evaluate
from engine.results.evaluation_report import report
from engine.results.export import export
from engine.results.prediction import Predictor
from engine.run.data_facts import data_facts
from engine.run.trained import load_trained
from engine.run.trust import allowlist

EXPORT: dict[str, Any] = {
    "checkpoint": "best",
    "format": "state_dict",
    "output": None,
    "tolerance": 1e-4,
    "check_inputs": 4,
    "opset": 20,
}


class Line(LightningModule):
    def __init__(self, *, network: nn.Module, loss: nn.Module, **other: Any) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val_loss", self.loss(self.network(batch[0]), batch[1]))


class Points(LightningDataModule):
    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width

    def val_dataloader(self) -> Any:
        data = TensorDataset(torch.ones(10, self.width), torch.zeros(10, 1))
        return DataLoader(data, batch_size=5, shuffle=True)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as a run of these parts has it."""
    monkeypatch.setattr(allowlist, "_allowed", lambda: ("torch.nn", "torch.optim", "pytorch_lightning", __name__))
    config = {
        "name": "foreign",
        "network": {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 1},
        "loss": {"_target_": "torch.nn.MSELoss"},
        "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True},
        "scheduler": {"scheduler": None},
        "lightning_module": {"_target_": f"{__name__}.Line"},
        "datamodule": {"_target_": f"{__name__}.Points", "width": 3},
        "trainer": {"_target_": "pytorch_lightning.Trainer", "accelerator": "cpu", "precision": "32-true"},
        "monitor": {"metric": "val_loss"},
    }
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    Points.name, Points.source = "points", "local"  # type: ignore[attr-defined]
    drawn = torch.get_rng_state()
    facts = data_facts(OmegaConf.create(config), Points(width=3))
    assert torch.equal(torch.get_rng_state(), drawn), "a shuffled validation draws from the global generator"
    del Points.name, Points.source  # type: ignore[attr-defined]
    state = {"network.weight": torch.ones(1, 3), "network.bias": torch.zeros(1)}
    content = {"state_dict": state, "hyper_parameters": facts, "epoch": 0, "pytorch-lightning_version": "2.6.6"}
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "checkpoints" / "best.ckpt")
    return tmp_path


@pytest.mark.filterwarnings("ignore:Your `val_dataloader`'s sampler has shuffling enabled")
def test_evaluate_gives_what_the_module_logs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = evaluate(run, split="val", checkpoint="best", overrides=[])
    assert evaluation is not None
    assert evaluation.metrics == {"val_loss": 9.0}
    report(evaluation)
    assert "val_loss" in capsys.readouterr().out
    assert json.loads((run / "evaluation_val_best.json").read_text())["val_loss"] == 9
    with pytest.raises(UserError, match=r"^split=test: Line has no test_step\.$"):
        evaluate(run, split="test", checkpoint="best", overrides=[])


def test_predict_says_what_is_missing(run: Path) -> None:
    with pytest.raises(UserError, match="predicts no classes: Line has no several and no probabilities"):
        Predictor(load_trained(run, "best"))


def test_export_knows_the_shape_of_the_first_validation_batch(run: Path) -> None:
    exported = export(run, **EXPORT, input_shape=None)
    assert exported.inputs == "4 validation inputs of points (local)"
    sidecar = json.loads((run / "network.state_dict.pt.json").read_text())
    assert sidecar["input"]["shape"] == ["batch", 3]
    assert sidecar["output"]["meaning"] == "as Line defines them"


def test_export_takes_the_shape_where_nothing_tells_it(run: Path) -> None:
    trained = load_trained(run, "best")
    trained.data["input_shape"] = None
    AtomicCheckpointIO().save_checkpoint(trained.content, run / "checkpoints" / "best.ckpt")
    with pytest.raises(UserError, match=r"is unknown: .*export\.py takes input_shape="):
        export(run, **EXPORT, input_shape=None)
    with pytest.raises(UserError, match=r"its network does not take inputs of shape \[4\] \(.*\): give the shape"):
        export(run, **EXPORT, input_shape=[4])
    assert export(run, **EXPORT, input_shape=[3]).difference == 0
