"""Schedules by epoch, by step and by metric, over trainings of every kind of length, and optimizers with a closure."""

from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, IterableDataset

from engine.errors import UserError
from tests.noise import classifier, fit, noise, same, trainer

STEPS = 11
# Nothing is an improvement on the first epoch's value.
PLATEAU = partial(lr_scheduler.ReduceLROnPlateau, patience=0, threshold=1e6, threshold_mode="abs", factor=0.5)
ONE_CYCLE = partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=None)


def scheduled(factory: Any, interval: str = "epoch", monitor: str | None = None) -> Any:
    return classifier(scheduler={"scheduler": factory, "interval": interval, "monitor": monitor})


def rate(fitted: Trainer) -> float:
    return float(fitted.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("monitor", ["val/loss", "train/loss", "train/acc"])
def test_the_rate_falls_with_the_monitored_metric(chunk: int, monitor: str) -> None:
    fitted, weights = fit(chunk, scheduled(PLATEAU, monitor=monitor), max_epochs=3)
    assert rate(fitted) == pytest.approx(0.05 * 0.5**2)
    assert same(weights, fit(1, scheduled(PLATEAU, monitor=monitor), max_epochs=3)[1])
    assert not same(weights, fit(1, max_epochs=3)[1])


def test_the_step_by_a_metric_is_in_the_epochs_checkpoint(tmp_path: Any) -> None:
    from engine.checkpoints.exact_state import ExactState
    from engine.checkpoints.last_checkpoint import LastCheckpoint

    def last() -> LastCheckpoint:
        return LastCheckpoint(dirpath=str(tmp_path), every_n_epochs=1, min_seconds=0, every_n_train_steps=None)

    straight, expected = fit(1, scheduled(PLATEAU, monitor="val/loss"), max_epochs=4)
    fit(1, scheduled(PLATEAU, monitor="val/loss"), max_epochs=2, callbacks=[ExactState(), last()])
    module, resumed = scheduled(PLATEAU, monitor="val/loss"), trainer(max_epochs=4, callbacks=[ExactState()])
    resumed.fit(module, datamodule=noise(1), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert rate(resumed) == rate(straight) == pytest.approx(0.05 * 0.5**3)
    assert same(expected, module.state_dict())


def test_before_the_first_validation_the_rate_stays() -> None:
    fitted, _ = fit(1, scheduled(PLATEAU, monitor="val/loss"), max_epochs=1, check_val_every_n_epoch=2)
    assert rate(fitted) == 0.05


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ((PLATEAU,), r"scheduler\.monitor: ReduceLROnPlateau needs a metric.*scheduler\.monitor=val/loss"),
        ((PLATEAU, "step", "val/loss"), r"scheduler\.interval=step: ReduceLROnPlateau uses a metric of the epoch"),
        ((PLATEAU, "epoch", "val/los"), r"scheduler\.monitor=val/los: no such metric was logged; there are .*val/loss"),
        ((partial(lr_scheduler.StepLR, step_size=1), "epoch", "val/loss"), r"StepLR uses no metric.*monitor=null"),
        ((partial(lr_scheduler.CosineAnnealingLR, T_max=-1),), r"T_max=-1: .*give trainer\.max_epochs, or"),
    ],
)
def test_a_schedule_whose_parts_do_not_fit_is_one_sentence(schedule: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(1, scheduled(*schedule), max_epochs=1)


@pytest.mark.parametrize("chunk", [1, 4])
def test_max_steps_alone_is_the_length_of_the_training(chunk: int) -> None:
    fitted, weights = fit(chunk, scheduled(ONE_CYCLE, "step"), max_epochs=-1, max_steps=15)
    assert fitted.global_step == 15
    assert fitted.lr_scheduler_configs[0].scheduler.total_steps == 15  # type: ignore[union-attr]
    assert same(weights, fit(1, scheduled(ONE_CYCLE, "step"), max_epochs=-1, max_steps=15)[1])


class Stream(IterableDataset[Any]):
    """Images and labels without a length."""

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(0)
        for label in range(8):
            yield torch.randn(3, 8, 8, generator=generator), label % 3


class Streaming(LightningDataModule):
    classes = ("a", "b", "c")

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Stream(), batch_size=4)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Stream(), batch_size=4)


def test_data_without_a_length_needs_max_steps() -> None:
    with pytest.raises(UserError, match=r"trainer\.max_steps=-1: .*give trainer\.max_steps, as the data has no length"):
        trainer(max_epochs=2).fit(scheduled(ONE_CYCLE, "step"), datamodule=Streaming())
    fitted = trainer(max_epochs=2, max_steps=3)
    fitted.fit(scheduled(ONE_CYCLE, "step"), datamodule=Streaming())
    assert fitted.global_step == 3


class Broken(Streaming):
    def train_dataloader(self) -> Any:
        return self.does_not_exist


def test_an_error_of_the_data_is_not_blamed_on_the_module() -> None:
    with pytest.raises(AttributeError, match="does_not_exist"):
        trainer().fit(scheduled(ONE_CYCLE, "step"), datamodule=Broken())


class Resumed(Callback):
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stopping = trainer.should_stop


def test_a_training_cut_short_does_not_stop_the_next_one() -> None:
    fitted, module, seen = trainer(max_epochs=-1, max_steps=5), classifier(), Resumed()
    fitted.fit(module, datamodule=noise(1))
    assert not fitted.should_stop
    fitted.fit_loop.epoch_loop.max_steps = 20
    fitted.callbacks.append(seen)  # type: ignore[attr-defined]
    fitted.fit(module, datamodule=noise(1))
    assert not seen.stopping
    assert fitted.global_step == 20


@pytest.mark.parametrize("history", [2, 10])
def test_an_optimizer_with_a_closure_trains(history: int) -> None:
    def module() -> Any:
        return classifier(optimizer=partial(torch.optim.LBFGS, lr=0.01, history_size=history))

    start = {name: value.clone() for name, value in module().state_dict().items()}
    fitted, weights = fit(4, module(), max_epochs=1)
    assert fitted.global_step == STEPS
    assert same(weights, fit(1, module(), max_epochs=1)[1])
    assert not same(weights, start)
