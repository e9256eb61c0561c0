"""airbench's recipe as its experiment composes it, with a much smaller network, resumes exactly."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks.whitening import Whitening
from datamodules.stand_ins import write as stand_in
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


def stop(whitening: Whitening, trainer: Trainer, pl_module: LightningModule) -> None:
    """Replaces a hook: fails when the whitening's bias should be frozen."""
    if trainer.current_epoch == whitening.bias_epochs:
        raise InterruptedError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr(stand_in, "RECORDS", 60)
    stand_in.write_cifar10(tmp_path / "data" / "stand-in")
    monkeypatch.setattr("datamodules.cifar10.CIFAR10.prepare_data", lambda self: None)
    return (*SMALL, f"datamodule.data_dir={tmp_path / 'data'}")


def test_a_stopped_run_ends_with_the_same_bits(
    tmp_path: Path, train_here: Train, settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_here(tmp_path, *settings)
    with monkeypatch.context() as patch:
        patch.setattr(Whitening, "on_train_epoch_start", stop)
        with pytest.raises(InterruptedError):
            train_here(tmp_path, *settings)
    (stopped,) = set(tmp_path.glob("logs/*/*")) - {whole}
    resumed = train_here(tmp_path, f"resume={stopped}")
    first, second = (
        torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True) for directory in (whole, resumed)
    )
    assert first["global_step"] == second["global_step"] == 5 * (270 // 64)
    assert list(first["state_dict"]) == list(second["state_dict"])
    for name, tensor in first["state_dict"].items():
        assert torch.equal(tensor, second["state_dict"][name]), name
