import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from engine.terminal.epoch_lines import COLUMNS, LINES, EpochLines


class Training:
    """Epochs of which each lets a second pass, unless `seconds` says how many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, max_epochs: int, current_epoch: int = 0) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.best = SimpleNamespace(monitor="val/acc", best_model_score=None)
        self.trainer: Any = SimpleNamespace(
            max_epochs=max_epochs,
            current_epoch=current_epoch,
            checkpoint_callbacks=[SimpleNamespace(), self.best],
            callback_metrics={},
            progress_bar_metrics={},
        )
        self.lines = EpochLines(self.trainer, 60)

    def epoch(self, accuracy: float | None = None, seconds: float = 1.0, *, is_last: bool = False) -> str | None:
        self.now += seconds
        known = self.trainer.callback_metrics
        known |= {"train/loss": 0.25, "train/acc": 0.75, "grad_norm": 3.0}
        if accuracy is not None:
            known |= {"val/loss": 0.5, "val/acc": accuracy}
            self.lines.validated = True
        self.lines.end_epoch(self.trainer)
        if accuracy is not None and accuracy > (self.best.best_model_score or 0):
            self.best.best_model_score = accuracy  # ModelCheckpoints come last
        self.trainer.progress_bar_metrics = {name: known[name] for name in known if "/" in name}
        self.trainer.current_epoch += 1
        return self.lines.line(self.trainer, is_last=is_last)


def test_a_line_for_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch, max_epochs=10)
    assert training.epoch(0.5) == "epoch  1/10  train/loss 0.25     val/acc 0.5     best  val/loss 0.5      1.0 s"
    assert training.epoch(0.5) == "epoch  2/10  train/loss 0.25     val/acc 0.5           val/loss 0.5      1.0 s"
    assert "best" in str(training.epoch(0.6, seconds=200.4))
    line = training.epoch(seconds=123.4)
    assert line == "epoch  4/10  train/loss 0.25     train/acc 0.75     123 s", "it was not validated"
    assert training.lines.line(training.trainer, is_last=True) is None, "the epoch has its line"


def test_it_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch, max_epochs=10)
    training.trainer.callback_metrics |= {f"val/metric_{number}": 0.123456 for number in range(9)}
    line = str(training.epoch(0.5))
    assert len(line) <= COLUMNS
    assert line.startswith("epoch  1/10  train/loss 0.25     val/acc 0.5     best  ")
    assert line.endswith("  1.0 s")


@pytest.mark.parametrize("max_epochs", [50, 51, 99, 500, 12_345])
def test_short_epochs_have_about_50_lines(monkeypatch: pytest.MonkeyPatch, max_epochs: int) -> None:
    training = Training(monkeypatch, max_epochs)
    lines = [training.epoch(0.5, 0.01, is_last=number == max_epochs) for number in range(1, max_epochs + 1)]
    assert LINES / 2 <= sum(line is not None for line in lines) <= LINES + 2
    assert lines[0]
    assert lines[-1]
    assert re.match(rf"epoch +1/{max_epochs:,} ", str(lines[0]))


def test_slow_epochs_have_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch, max_epochs=500)
    assert all(training.epoch(0.5, seconds=61) for _ in range(20))


def test_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch, max_epochs=-1)
    lines = [training.epoch() for _ in range(1000)]
    assert sum(line is not None for line in lines) == LINES + 19
    assert str(lines[0]).startswith("epoch 1  train/loss")


def test_a_resumed_training_goes_on_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch, max_epochs=20, current_epoch=10)
    training.best.best_model_score = 0.9
    training.lines = EpochLines(training.trainer, 60)
    assert str(training.epoch(0.8)).startswith("epoch 11/20  ")
    assert "best" not in str(training.epoch(0.9)), "no better than before"
