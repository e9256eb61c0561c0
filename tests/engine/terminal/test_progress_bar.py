import io
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from engine.terminal import progress_bar as module
from engine.terminal.progress_bar import ProgressBar
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 80 columns gets."""
    screen = io.StringIO()
    monkeypatch.setattr(module, "is_live", lambda stream: True)
    monkeypatch.setattr(module, "Console", lambda: Console(file=screen, force_terminal=True, width=80))
    return screen


def training(max_epochs: int = 10) -> tuple[Any, Any]:
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.001}, {"lr": 0.01}])
    trainer = SimpleNamespace(
        is_global_zero=True,
        global_step=0,
        current_epoch=0,
        max_epochs=max_epochs,
        max_steps=-1,
        progress_bar_metrics={},
        callback_metrics={},
        checkpoint_callbacks=[SimpleNamespace(monitor="val/acc", best_model_score=None)],
        optimizers=[optimizer],
    )
    return trainer, SimpleNamespace(losses=[], total_steps=lambda: 1000)


def callback() -> ProgressBar:
    return ProgressBar(refresh_seconds=0.25, line_seconds=60)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "engine.terminal.progress_bar"]


def step(bar: ProgressBar, run: tuple[Any, Any], clock: Clock, *, to: int, seconds: float) -> None:
    clock.now += seconds
    run[0].global_step = to
    run[1].losses = [torch.tensor([9.0]), torch.tensor([0.25, 0.75])]
    bar.on_train_batch_end(*run, None, None, 0)


def test_all_of_it_in_one_line(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bar, run = callback(), training()
    run[0].global_step = 100  # of a resumed run, whose rate is its own
    bar.on_train_start(*run)
    run[0].current_epoch = 2
    run[0].progress_bar_metrics = {"val/acc": 0.91234, "train/loss": 1.25, "train/acc": 0.75}
    step(bar, run, clock, to=220, seconds=60)
    assert lines(caplog) == [
        "epoch 3/10, val/acc 0.912, 0:06:30 left, loss 0.5, step 220/1,000, 2.0 steps/s, lr 0.01, train/acc 0.75"
    ]


def test_a_line_a_minute_where_there_is_no_terminal(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bar, run = callback(), training()
    bar.on_train_start(*run)
    for number in range(1, 181):
        step(bar, run, clock, to=number, seconds=1)
        bar.on_validation_batch_end(*run, None, None, 0)
    bar.on_train_end(*run)
    steps = [part for line in lines(caplog) for part in line.split(", ") if part.startswith("step ")]
    assert steps == ["step 60/1,000", "step 120/1,000", "step 180/1,000"]


def test_a_short_epoch_without_a_terminal_is_silent(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    bar, run = callback(), training()
    bar.on_train_start(*run)
    step(bar, run, clock, to=1000, seconds=59)
    bar.on_train_end(*run)
    assert lines(caplog) == []


def test_a_bar_in_a_terminal_that_leaves_nothing(
    clock: Clock, terminal: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bar, run = callback(), training()
    bar.on_train_start(*run)
    step(bar, run, clock, to=100, seconds=10)
    assert "epoch 1/10, 0:01:30 left, loss 0.5, step 100/1,000" in terminal.getvalue()
    before = terminal.getvalue()
    step(bar, run, clock, to=101, seconds=0.2)
    assert terminal.getvalue() == before, "too soon"
    clock.now += 0.1
    bar.on_validation_batch_end(*run, None, None, 0)
    assert "epoch 1/10, validating, " in terminal.getvalue()
    bar.on_train_end(*run)
    assert terminal.getvalue().endswith("\x1b[2K"), "the line is cleared"
    assert lines(caplog) == []


def test_an_error_gives_the_terminal_back(clock: Clock, terminal: io.StringIO) -> None:
    bar, run = callback(), training()
    bar.on_train_start(*run)
    assert terminal.getvalue().count("\x1b[?25l") == 1, "the cursor is hidden"
    bar.on_exception(*run, KeyboardInterrupt())
    assert terminal.getvalue().count("\x1b[?25h") == 1


def test_a_training_without_an_end_has_no_time_left(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bar, run = callback(), training(max_epochs=-1)
    bar.on_train_start(*run)
    step(bar, run, clock, to=12000, seconds=60)
    assert lines(caplog) == ["epoch 1, loss 0.5, step 12,000, 200 steps/s, lr 0.01"]


def test_a_slow_step_has_its_seconds(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bar, run = callback(), training()
    bar.on_train_start(*run)
    step(bar, run, clock, to=20, seconds=90)
    assert "4.5 s/step" in lines(caplog)[0]


def test_what_matters_fits_beside_the_bar(clock: Clock, terminal: io.StringIO) -> None:
    bar, run = callback(), training()
    bar.on_train_start(*run)
    run[0].progress_bar_metrics = {"a/first": 0.1, "val/acc": 0.91234, "val/mean_average_precision": 0.75}
    step(bar, run, clock, to=100, seconds=10)
    line = re.sub(r"\x1b\[[\d;?]*\w", "", terminal.getvalue()).rpartition("\r")[2].rstrip()
    assert line.endswith(" epoch 1/10, val/acc 0.912, 0:01:30 left, loss 0.5")
    assert len(line) <= 80


def test_only_the_first_process_speaks(clock: Clock, terminal: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bar, run = callback(), training()
    run[0].is_global_zero = False
    bar.setup(*run, stage="fit")
    bar.on_train_start(*run)
    step(bar, run, clock, to=500, seconds=90)
    bar.on_train_end(*run)
    assert (lines(caplog), terminal.getvalue()) == ([], "")
