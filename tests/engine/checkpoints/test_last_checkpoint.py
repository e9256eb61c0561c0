import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from engine.checkpoints.last_checkpoint import Interrupted, LastCheckpoint
from tests.noise import fit


def settings(folder: Path, **others: Any) -> dict[str, Any]:
    return {"dirpath": str(folder), "every_n_epochs": 1, "min_seconds": 0, "every_n_train_steps": None, **others}


class Watched(LastCheckpoint):
    """Notes the steps at which it saved."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.saved: list[int] = []

    def _save(self, trainer: Trainer) -> None:
        super()._save(trainer)
        self.saved.append(trainer.global_step)


@pytest.mark.parametrize(
    ("chunk", "epochs", "every_n_epochs", "every_n_train_steps", "saved"),
    [
        (1, 3, 1, None, [11, 22, 33]),
        (1, 3, 2, None, [22, 33]),
        (1, 2, 1, 5, [5, 10, 11, 15, 20, 22]),
        (4, 2, 1, 5, [8, 11, 11, 15, 22, 22]),
    ],
)
def test_where_it_saves(
    tmp_path: Path, chunk: int, epochs: int, every_n_epochs: int, every_n_train_steps: int | None, saved: list[int]
) -> None:
    """There are 11 steps an epoch; what was saved last is always the end of the training."""
    every = {"every_n_epochs": every_n_epochs, "every_n_train_steps": every_n_train_steps}
    callback = Watched(**settings(tmp_path, **every))
    fit(chunk, callbacks=[callback], max_epochs=epochs)
    assert callback.saved == saved
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 11 * epochs


class Kill(LastCheckpoint):
    """Sends this process a signal in the middle of training or validation."""

    def __init__(self, number: int, *, step: int, validating: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.number, self.step, self.validating, self.seen = number, step, validating, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if not self.validating and trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.seen += 1
        if self.validating and trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("step", "validating", "at"), [(3, False, 4), (11, True, 11)])
def test_a_signal_is_obeyed_after_its_batch(tmp_path: Path, number: int, step: int, validating: bool, at: int) -> None:
    before = signal.getsignal(number)
    callback = Kill(number, step=step, validating=validating, **settings(tmp_path))
    with pytest.raises(Interrupted, match=signal.Signals(number).name) as caught:
        fit(1, callbacks=[callback])
    assert caught.value.number == number
    assert callback.seen == validating  # one batch of validation, or none
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == at
    assert signal.getsignal(number) is before


def test_epochs_that_follow_too_soon_are_not_saved_but_for_the_last(tmp_path: Path) -> None:
    callback = Watched(**settings(tmp_path, min_seconds=1000))
    fit(1, callbacks=[callback], max_epochs=3)
    assert callback.saved == [33]


def test_signals_are_given_back_at_the_end(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    fit(1, callbacks=[LastCheckpoint(**settings(tmp_path))])
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_is_saved_on_a_failure(tmp_path: Path) -> None:
    class Fail(LastCheckpoint):
        def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
            if trainer.global_step == 3:
                raise RuntimeError("it broke")

    with pytest.raises(RuntimeError, match="it broke"):
        fit(1, callbacks=[Fail(**settings(tmp_path))])
    assert not (tmp_path / "last.ckpt").exists()


def test_it_notes_how_far_the_curves_are_written(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, "", "")
    folder = tmp_path / "checkpoints"
    fit(1, callbacks=[LastCheckpoint(**settings(folder))], logger=logger, max_epochs=1)
    (events,) = tmp_path.glob("events.out.tfevents.*")
    sizes = torch.load(folder / "last.ckpt", weights_only=True)["curves"]
    assert sizes == {events.name: events.stat().st_size}
