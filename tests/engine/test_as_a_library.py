"""The engine's parts under a plain pytorch_lightning.Trainer, with a module and data that know nothing of it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import engine
from engine import (
    AtomicCheckpointIO,
    ExactState,
    KeyedLoader,
    KeyedSampler,
    LastCheckpoint,
    TensorDataLoader,
    keyed_generator,
    load_checkpoint,
)
from tests.conftest import ROOT

EPOCHS, LAST = 3, "last.ckpt"


class Points(Dataset[tuple[Tensor, Tensor]]):
    """40 points of a line, with noise that depends on the epoch and the index alone."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        noise = torch.randn(1, generator=keyed_generator(0, *key))
        return torch.tensor([key[1] / 40]), torch.tensor([key[1] / 20]) + noise

    def __len__(self) -> int:
        return 40


class Data(LightningDataModule):
    def __init__(self, loader: str) -> None:
        super().__init__()
        self.loader = loader

    def train_dataloader(self) -> object:
        if self.loader == "tensors":
            return TensorDataLoader(torch.rand(40, 1), torch.rand(40, 1), batch_size=4, shuffle=True, seed=0)
        if self.loader == "plain":
            return DataLoader(TensorDataset(torch.rand(40, 1), torch.rand(40, 1)), shuffle=True, batch_size=4)
        sampler = KeyedSampler(40, seed=0, shuffle=True, num_replicas=1, rank=0, epoch=0)
        return KeyedLoader(Points(), sampler, batch_size=4)

    def val_dataloader(self) -> object:
        return DataLoader(torch.rand(8, 1), batch_size=4)


class Line(LightningModule):
    """As in Lightning's documentation; `pause` slows each step down, so that it can be killed within an epoch."""

    def __init__(self, pause: float) -> None:
        super().__init__()
        self.pause, self.layer = pause, nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        time.sleep(self.pause)
        loss = nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_mean", self.layer(batch).mean())

    def configure_optimizers(self) -> object:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]


def fit(folder: Path, loader: str, pause: float = 0.0, resume: Path | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    last = LastCheckpoint(dirpath=str(folder), every_n_epochs=1, min_seconds=0, every_n_train_steps=3)
    callbacks, plugins = [ExactState(), last], [AtomicCheckpointIO()]
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=EPOCHS, callbacks=callbacks, plugins=plugins, **quiet)
    module = Line(pause)
    trainer.fit(module, Data(loader), ckpt_path=resume, weights_only=True)
    return module.state_dict()


@pytest.mark.parametrize("loader", ["tensors", "keyed", "plain"])
def test_a_killed_training_ends_with_the_bits_of_an_uninterrupted_one(loader: str, tmp_path: Path) -> None:
    expected = fit(tmp_path / "whole", loader)
    code = f"from {__name__} import *; fit(Path({str(tmp_path)!r}), {loader!r}, pause=0.05)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    steps = 0
    while steps < 15 and process.poll() is None:
        time.sleep(0.02)
        steps = load_checkpoint(tmp_path / LAST)["global_step"] if (tmp_path / LAST).exists() else 0
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    steps = load_checkpoint(tmp_path / LAST)["global_step"]
    assert steps in (15, 18, 20, 21, 24)
    resumed = fit(tmp_path, loader, resume=tmp_path / LAST)
    assert load_checkpoint(tmp_path / LAST)["global_step"] == EPOCHS * 10
    for name, value in expected.items():
        assert torch.equal(resumed[name], value), name


def test_import_engine_is_free_of_torch_and_every_public_name_is_there() -> None:
    code = "import sys, engine; assert 'torch' not in sys.modules; [getattr(engine, name) for name in engine.__all__]"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        engine.nothing  # noqa: B018
