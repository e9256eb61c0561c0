from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks.step_curves import StepCurves
from engine.errors import DivergenceError
from tests.noise import classifier, fit


def logged(folder: Path, name: str) -> dict[int, float]:
    header, *rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    column = header.index(name)
    return {int(row[header.index("step")]): float(row[column]) for row in rows if row[column]}


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"chunk": 1}, [5, 10, 15, 20]),
        ({"chunk": 2}, [6, 10, 15, 21]),
        ({"chunk": 1, "accumulate_grad_batches": 2}, [5, 10]),
    ],
)
def test_a_point_a_window(tmp_path: Path, settings: dict[str, Any], steps: list[int]) -> None:
    fit(folder=tmp_path, callbacks=[StepCurves()], **settings)
    assert list(logged(tmp_path, "train/loss_step")) == list(logged(tmp_path, "train/lr")) == steps


def test_the_loss_is_the_mean_of_its_window(tmp_path: Path) -> None:
    fit(1, folder=tmp_path / "each", callbacks=[StepCurves()], log_every_n_steps=1)
    fit(1, folder=tmp_path / "fifth", callbacks=[StepCurves()])
    each = logged(tmp_path / "each", "train/loss_step")
    for step, loss in logged(tmp_path / "fifth", "train/loss_step").items():
        assert loss == pytest.approx(sum(each[s] for s in range(step - 4, step + 1)) / 5, rel=1e-5)


def test_points_on_a_gpu_wait_until_something_else_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(1, folder=tmp_path / "cpu", callbacks=[StepCurves()], log_every_n_steps=1)
    monkeypatch.setattr("engine.training.steps.step_points.is_on_gpu", lambda _: True)
    monkeypatch.setattr("engine.training.steps.step_points.SECONDS", 3600.0)
    waiting: list[int] = []

    class Waits(StepCurves):
        follows_chunks = True

        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
            super().on_train_batch_end(trainer, pl_module, *args)
            waiting.append(len(self._points))

    fit(1, folder=tmp_path / "gpu", callbacks=[Waits()], log_every_n_steps=1)
    assert max(waiting) > 3
    for name in ("train/loss_step", "train/lr"):
        assert logged(tmp_path / "gpu", name) == logged(tmp_path / "cpu", name)


def test_each_group_of_parameters_has_its_rate(tmp_path: Path) -> None:
    module = classifier(param_groups=[{"pattern": "^0", "lr": 0.3}])
    fit(1, module, folder=tmp_path, callbacks=[StepCurves()])
    rates = {logged(tmp_path, name)[5] for name in ("train/lr_0", "train/lr_1")}
    assert rates == {0.3, 0.05}


def test_a_loss_that_became_infinite_unseen_is_found_in_its_window(tmp_path: Path) -> None:
    """As on a GPU, where looking at each loss would cost a wait."""

    class Spoil(StepCurves):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
            losses: Any = pl_module.losses
            if trainer.global_step == 8:
                losses[-1] = torch.full_like(losses[-1], torch.inf)
            super().on_train_batch_end(trainer, pl_module, *args)

    with pytest.raises(DivergenceError, match="loss is inf at step 8"):
        fit(1, folder=tmp_path, callbacks=[Spoil()])
