"""A training resumed from any of its steps ends with the same bits as one that did not stop."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from engine.checkpoints.exact_state import ExactState
from engine.checkpoints.last_checkpoint import LastCheckpoint
from engine.training.loop_state import settle
from tests.noise import SIZE, classifier, noise, trainer


class Keep(LastCheckpoint):
    """Keeps every checkpoint that was the last one."""

    def _save(self, trainer: Trainer) -> None:
        super()._save(trainer)
        shutil.copy(self.path, self.path.with_name(f"{len(list(self.path.parent.iterdir())):03d}.ckpt"))


def run(folder: Path, chunk: int, checkpoint: Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    """What is left after training: weights, the optimizer's state, the metrics, the points of the validation curve."""
    folder.mkdir()
    module, points = classifier(), []

    class Points(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            points.append((trainer.global_step, float(trainer.callback_metrics["val/loss"])))

    keep = Keep(dirpath=str(folder / "kept"), every_n_epochs=1, min_seconds=0, every_n_train_steps=1)
    fitted = trainer(callbacks=[ExactState(), Points(), keep], **settings)
    fitted.fit(module, datamodule=noise(chunk), ckpt_path=checkpoint, weights_only=True)
    return {
        "state": {name: tensor.clone() for name, tensor in module.state_dict().items()},
        "optimizer": list(fitted.optimizers[0].state_dict()["state"].values()),
        "metrics": {**module.logged_before, **{k: float(v) for k, v in fitted.callback_metrics.items()}},
        "points": points,
        "step": fitted.global_step,
        "epoch": fitted.current_epoch,
    }


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@pytest.mark.parametrize(
    ("chunk", "settings"),
    [
        (1, {}),
        (4, {}),
        (1, {"accumulate_grad_batches": 3}),
        (1, {"val_check_interval": 0.5}),
        (4, {"val_check_interval": 0.5}),
        (1, {"check_val_every_n_epoch": 2}),
        (4, {"check_val_every_n_epoch": 2}),
        (1, {"limit_train_batches": 0.7, "check_val_every_n_epoch": 2}),
        (1, {"limit_val_batches": 0}),
        (1, {"max_epochs": -1, "max_steps": 17}),
        (4, {"max_epochs": -1, "max_steps": 17}),
    ],
)
def test_from_every_checkpoint(tmp_path: Path, chunk: int, settings: dict[str, Any]) -> None:
    straight = run(tmp_path / "straight", chunk, None, settings)
    checkpoints = sorted((tmp_path / "straight" / "kept").glob("[0-9]*.ckpt"))
    assert len(checkpoints) > 5
    for checkpoint in checkpoints[::3]:
        resumed = run(tmp_path / checkpoint.stem, chunk, checkpoint, settings)
        begun = torch.load(checkpoint, weights_only=True)["global_step"]
        points = [point for point in straight["points"] if point[0] >= begun]
        # A validation of the very step that was saved had been done, or is still to come.
        done = resumed.pop("points")
        assert done in (points, [point for point in points if point[0] > begun]), checkpoint.name
        for name, value in resumed.items():
            assert equal(straight[name], value), f"{name} after {checkpoint.name}, of step {begun}"


@pytest.mark.parametrize(("chunk", "size"), [(1, 3), (1, 7), (4, 3), (1, 40)])
def test_the_rest_of_an_epoch_in_batches_of_another_size(tmp_path: Path, chunk: int, size: int) -> None:
    run(tmp_path / "straight", chunk, None, {})
    checkpoints = sorted((tmp_path / "straight" / "kept").glob("[0-9]*.ckpt"))
    for checkpoint in checkpoints[1::3]:
        module, fitted, data = classifier(), trainer(callbacks=[ExactState()]), noise(chunk)
        data.batch_size = size
        fitted.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        assert module.examples_seen == 2 * SIZE, checkpoint.name
        assert fitted.current_epoch == 2


def counts(ready: int, completed: int) -> dict[str, int]:
    return {"ready": ready, "started": ready, "processed": ready, "completed": completed}


@pytest.mark.parametrize("due", [True, False])
def test_settled_after_a_batch(due: bool) -> None:
    epochs = {"ready": 2, "started": 2, "processed": 1, "completed": 1}
    loop = {
        "epoch_progress": {"total": dict(epochs), "current": dict(epochs)},
        "epoch_loop.batch_progress": {"total": counts(9, 8), "current": counts(4, 3), "is_last_batch": False},
        "epoch_loop.val_loop.batch_progress": {"total": counts(5, 5), "current": counts(5, 5)},
        "epoch_loop.state_dict": {"_batches_that_stepped": 8},
    }
    settle(loop, validation_due=due, accumulating=False)
    assert loop["epoch_progress"]["current"] == epochs
    assert loop["epoch_loop.state_dict"]["_batches_that_stepped"] == (8 if due else 9)
    assert loop["epoch_loop.batch_progress"] == {"total": counts(9, 9), "current": counts(4, 4), "is_last_batch": False}
    begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    assert loop["epoch_loop.val_loop.batch_progress"]["total"] == (begun if due else counts(0, 0))
