"""Parts written as Lightning's documentation writes them, trained through train.py from YAML alone."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.demos.boring_classes import BoringModel
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from engine.api import Run
from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.errors import UserError
from engine.results.evaluation import evaluate
from tests.conftest import ROOT, RunTrain, Train, metrics_of

EXPERIMENT = """# @package _global_
defaults:
  - override /datamodule: foreign
  - override /lightning_module: foreign
  - override /network: null
  - override /loss: null
  - override /optimizer: null
  - override /scheduler: null
  - override /callback: [default]
  - override /logger: [tensorboard, csv]
trainer: {max_epochs: 2, accelerator: cpu, devices: 1}
"""


class Stream(IterableDataset):  # type: ignore[type-arg]
    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from ({"x": torch.randn(4), "y": torch.tensor(0.0)} for _ in range(8))


class Dictionaries(LightningDataModule):
    """Streams of dictionaries, no validation; `setup` needs the Trainer."""

    def setup(self, stage: str) -> None:
        assert self.trainer is not None

    def train_dataloader(self) -> DataLoader[object]:
        return DataLoader(Stream(), batch_size=4)


class Numbers(LightningDataModule):
    """Two validation loaders, and one for a test."""

    def train_dataloader(self) -> DataLoader[object]:
        return DataLoader(TensorDataset(torch.randn(16, 4), torch.zeros(16)), batch_size=4)

    def val_dataloader(self) -> list[DataLoader[object]]:
        return [self.train_dataloader(), self.train_dataloader()]

    test_dataloader = train_dataloader


class Clusters(LightningDataModule):
    """Three classes, without their names."""

    num_classes = 3

    def train_dataloader(self) -> DataLoader[object]:
        labels = torch.arange(24) % 3
        return DataLoader(TensorDataset(torch.randn(24, 4) + labels[:, None], labels), batch_size=4)

    val_dataloader = train_dataloader


class FromDictionaries(LightningModule):
    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        loss = (self.layer(batch["x"])[:, 0] - batch["y"]).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


class TwoOptimizers(LightningModule):
    """A generator and a discriminator, stepped in turn by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = torch.nn.Linear(2, 4), torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        for optimizer, sign in zip(self.optimizers(), (1, -1), strict=True):
            loss = sign * self.discriminator(self.generator(torch.randn(4, 2))).mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):  # type: ignore[no-untyped-def]
        self.log("val_loss", self.discriminator(batch[0]).square().mean())

    def test_step(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        self.log("test/loss", self.discriminator(batch[0]).square().mean())

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        return [torch.optim.SGD(part.parameters(), lr=0.01) for part in (self.generator, self.discriminator)]


class Halving(Callback):
    """Halves the first optimizer's rate after each epoch, without a scheduler."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.optimizers[0].param_groups[0]["lr"] /= 2


class WithItsOwnData(BoringModel):
    def validation_step(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        loss = super().validation_step(batch, batch_idx)["x"]
        self.log("val/loss", loss)


def options(folder: Path, module: str, datamodule: str | None) -> tuple[str, ...]:
    """A --config-dir with these two parts, given as --config-dir wants it; None: the module has its own data."""
    for group, target in (("lightning_module", module), ("datamodule", datamodule), ("experiment", None)):
        (folder / "conf" / group).mkdir(parents=True, exist_ok=True)
        text = EXPERIMENT if group == "experiment" else f"_target_: {target}\n"
        if group == "experiment" and datamodule is None:
            text = text.replace("/datamodule: foreign", "/datamodule: null")
        (folder / "conf" / group / "foreign.yaml").write_text(text)
    return ("--config-path", str(ROOT / "conf"), "--config-dir", str(folder / "conf"))


BORING = "pytorch_lightning.demos.boring_classes.Boring"


def test_lightnings_own_demo_with_nothing_monitored(
    tmp_path: Path, train_here: Train, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "999")
    config = options(tmp_path, f"{BORING}Model", f"{BORING}DataModule")
    directory = train_here(tmp_path, "experiment=foreign", "monitor.metric=null", config=config)
    metrics = metrics_of(directory)
    assert (metrics["status"], metrics["epochs"], metrics["data"]["name"]) == ("completed", 2, "BoringDataModule")
    assert not {"best/epoch", "best/None"} & metrics.keys()
    assert (directory / "checkpoints" / "last.ckpt").is_file()
    printed = " ".join(capsys.readouterr().out.split())
    assert "a best checkpoint (monitor=null)" in printed
    assert "LIGHTNING_EXPERIMENTS_ALLOW=pytorch_lightning" in printed
    assert "trainer.max_epochs=4" in printed
    assert not any(script in printed for script in ("evaluate.py run=", "predict.py run=", "export.py run="))


def test_a_module_with_its_own_data(tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_EXPERIMENTS_ALLOW", "tests")
    config = options(tmp_path, f"{__name__}.WithItsOwnData", None)
    directory = train_here(tmp_path, "experiment=foreign", "monitor={metric: val/loss, mode: min}", config=config)
    metrics = metrics_of(directory)
    assert (metrics["epochs"], metrics["data"]["name"]) == (2, "the LightningModule's own")
    evaluation = evaluate(directory, split="val", checkpoint="best", overrides=[])
    assert evaluation is not None
    assert float(evaluation.metrics["val/loss"]) > 0  # its data is random
    with pytest.raises(UserError, match="the run has no datamodule, since its LightningModule has its own data"):
        Run(directory, "best").datamodule()
    train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=3", config=config)
    assert metrics_of(directory)["epochs"] == 3


def test_streams_of_dictionaries_without_validation(tmp_path: Path, train_here: Train) -> None:
    config = options(tmp_path, f"{__name__}.FromDictionaries", f"{__name__}.Dictionaries")
    directory = train_here(tmp_path, "experiment=foreign", "+lightning_module.lr=0.1", "monitor=null", config=config)
    metrics = metrics_of(directory)
    assert metrics["status"] == "completed"
    assert metrics["train_loss"] > 0


def test_two_optimizers_two_validation_loaders_and_a_test(tmp_path: Path, train_here: Train) -> None:
    config = options(tmp_path, f"{__name__}.TwoOptimizers", f"{__name__}.Numbers")
    metric = ("monitor.metric=val_loss/dataloader_idx_0", "monitor.mode=min")
    directory = train_here(tmp_path, "experiment=foreign", *metric, config=config)
    metrics = metrics_of(directory)
    assert metrics["status"] == "completed"
    assert metrics["best/val_loss/dataloader_idx_0"] <= metrics["val_loss/dataloader_idx_0"]
    assert metrics["test/loss"] >= 0
    assert (directory / "checkpoints" / "best.ckpt").is_file()


def test_ascii_terminals_and_a_metric_that_is_not_logged(
    tmp_path: Path, run_train: RunTrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    options(tmp_path, f"{BORING}Model", f"{BORING}DataModule")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run_train("--config-dir", str(tmp_path / "conf"), "experiment=foreign", cwd=tmp_path)
    assert "1 ? cpu" in done.stdout
    assert done.returncode == 1
    assert "monitor.metric=val/acc: no such metric was logged" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_projects_own_classifier_on_data_without_names(tmp_path: Path, train_here: Train) -> None:
    config = options(tmp_path, f"{BORING}Model", f"{__name__}.Clusters")
    own = (
        "lightning_module=classifier",
        "lightning_module.num_classes=3",
        "+network={_target_: torch.nn.Linear, in_features: 4, out_features: 3}",
        "+loss={_target_: torch.nn.CrossEntropyLoss}",
        "+optimizer={_target_: torch.optim.SGD, _partial_: true, lr: 0.1}",
        "scheduler=constant",
    )
    metrics = metrics_of(train_here(tmp_path, "experiment=foreign", *own, config=config))
    assert metrics["status"] == "completed"
    assert {"val/acc_0", "val/acc_1", "val/acc_2"} <= metrics.keys()


def test_a_tuner_that_tries_again_before_the_test(tmp_path: Path, train_here: Train) -> None:
    """Lightning's BatchSizeFinder counts the Trainer's epochs from 0 then."""
    finder = "{_target_: pytorch_lightning.callbacks.BatchSizeFinder, max_trials: 2, steps_per_trial: 1}"
    settings = ("trainer=cpu", "trainer.max_epochs=1", "logger=csv", "callback=[plain]", f"+callback.finder={finder}")
    metrics = metrics_of(train_here(tmp_path, "experiment=lenet_nll", *settings))
    assert metrics["epochs"] == 1
    assert metrics["test/acc"] > 0


def test_a_longer_training_keeps_the_rate_that_a_callback_has_set(
    tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTNING_EXPERIMENTS_ALLOW", "tests")
    config = options(tmp_path, "tests.test_foreign.TwoOptimizers", "tests.test_foreign.Numbers")
    shared = ("experiment=foreign", "monitor.metric=null", "+callback.halving._target_=tests.test_foreign.Halving")
    directory = train_here(tmp_path, *shared, config=config)
    train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=4", config=())
    straight = train_here(tmp_path, *shared, "trainer.max_epochs=4", config=config)
    resumed, expected = (load_checkpoint(run / "checkpoints" / "last.ckpt") for run in (directory, straight))
    assert expected["optimizer_states"][0]["param_groups"][0]["lr"] == 0.01 / 2**4
    assert resumed["optimizer_states"] == expected["optimizer_states"]
    assert all(torch.equal(value, expected["state_dict"][name]) for name, value in resumed["state_dict"].items())
