"""airbench's recipe as its experiment composes it, with a much smaller network, goes on exactly after a stop."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from datamodules import stand_in
from tests.conftest import Train

SMALL = (
    "experiment=cifar10_airbench",
    "trainer=cpu",
    "trainer.precision=bf16-mixed",
    "trainer.max_epochs=5",
    "channels_last=true",
    "network.widths=[8,8,8]",
    "network.views=2",
    "datamodule.batch_size=64",
    "datamodule.eval_batch_size=64",
    "optimizer.lr=0.1",
    "callback.lookahead.period=2",
)


class Stop(Callback):
    """Stops the training as a failure would, when an epoch begins."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise InterruptedError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr(stand_in, "RECORDS", 60)
    stand_in.write_cifar10(tmp_path / "data" / "stand-in")
    monkeypatch.setattr("datamodules.cifar10.CIFAR10.prepare_data", lambda self: None)
    return (*SMALL, f"datamodule.data_dir={tmp_path / 'data'}")


def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path, train_here: Train, settings: tuple[str, ...]) -> None:
    whole = train_here(tmp_path, *settings)
    stop = ("+callback.stop._target_=test_cifar10_airbench.Stop", "+callback.stop.epoch=3")  # the bias is frozen then
    with pytest.raises(InterruptedError):
        train_here(tmp_path, *settings, *stop)
    (stopped,) = set(tmp_path.glob("logs/*/*")) - {whole}
    resumed = train_here(tmp_path, f"resume={stopped}", "~callback.stop")
    first, second = (
        torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True) for directory in (whole, resumed)
    )
    assert first["global_step"] == second["global_step"] == 5 * (270 // 64)
    assert list(first["state_dict"]) == list(second["state_dict"])
    for name, tensor in first["state_dict"].items():
        assert torch.equal(tensor, second["state_dict"][name]), name
