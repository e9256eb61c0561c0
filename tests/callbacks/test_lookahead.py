from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from callbacks.lookahead import Lookahead
from engine.data.tensor_loader import TensorDataLoader

STEPS = 12
X = torch.randn(STEPS // 2, 8, 3, generator=torch.Generator().manual_seed(0))


class Module(LightningModule):
    """Trained for two epochs, in steps of its own, `steps_a_batch` in each batch, as on chunks."""

    def __init__(self, steps_a_batch: int = 1, stop_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.automatic_optimization = False
        self.steps_a_batch, self.stop_at = steps_a_batch, stop_at

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        for x in batch[0]:
            if self.global_step == self.stop_at:
                raise InterruptedError
            optimizer.zero_grad()
            (self.network(x) - x.sum(1, keepdim=True)).square().mean().backward()
            optimizer.step()

    def train_dataloader(self) -> TensorDataLoader:
        return TensorDataLoader(X, batch_size=self.steps_a_batch, shuffle=False, seed=0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9, nesterov=True)


class Saver(Callback):
    """Saves a checkpoint after every batch, named by the steps made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


def build() -> Lookahead:
    return Lookahead(total_steps=STEPS, period=5, decay=0.95, power=3)


def fit(
    module: Module, folder: Path, ckpt_path: Path | None = None, callback: Lookahead | None = None
) -> dict[str, Tensor]:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[callback or build(), Saver(folder)],
    )
    trainer.fit(module, ckpt_path=ckpt_path, weights_only=True)
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def by_hand() -> dict[str, Tensor]:
    """The same training as a plain loop, with one weight at a time."""
    network = Module().network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for step, x in enumerate([*X, *X], start=1):
        optimizer.zero_grad()
        (network(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                if step % 5 == 0:
                    d = 0.95**5 * (step / STEPS) ** 3
                    average[name] = d * average[name] + (1 - d) * tensor
                if step % 5 == 0 or step == STEPS:
                    tensor.copy_(average[name])
    return {f"network.{name}": tensor for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("steps_a_batch", [1, 2, 6])
def test_follows_the_formula_however_many_steps_a_batch_makes(tmp_path, steps_a_batch):
    torch.testing.assert_close(fit(Module(steps_a_batch), tmp_path), by_hand())


@pytest.mark.parametrize("stop_at", [3, 5, 6, 8, 10, 11])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, stop_at):
    expected = fit(Module(), tmp_path / "whole")
    with pytest.raises(InterruptedError):
        fit(Module(stop_at=stop_at), tmp_path / "killed")
    resumed = fit(Module(), tmp_path / "resumed", tmp_path / f"killed/{stop_at}.ckpt")
    for name, tensor in expected.items():
        assert torch.equal(resumed[name], tensor), name


def test_without_a_number_of_steps_it_takes_the_procedures(tmp_path):
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/callback/lookahead.yaml")
    callback = instantiate(config.lookahead)
    assert (callback.total_steps, callback.period, callback.decay, callback.power) == (None, 5, 0.95, 3)
    module = Module()
    module.total_steps = lambda: STEPS
    torch.testing.assert_close(fit(module, tmp_path, callback=callback), by_hand())


def test_an_unlimited_training_is_refused():
    with pytest.raises(ValueError, match="total_steps is -1"):
        Lookahead(total_steps=-1, period=5, decay=0.95, power=3)
