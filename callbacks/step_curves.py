import math
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from engine.training.steps.step_counter import StepCounter
from engine.training.steps.step_points import StepPoints


class StepCurves(StepPoints):
    """Logs `train/loss_step` and the learning rates every `trainer.log_every_n_steps` optimizer steps.

    The loss is the mean over the mini-batches since the last point; it needs a LightningModule with `losses`
    (engine/training/accounted_module.py). The learning rate is the next step's: `train/lr`, or
    `train/lr_<number>` with several parameter groups. Counts optimizer steps, since a training step may process a chunk
    of mini-batches.
    """

    follows_chunks = True

    def __init__(self) -> None:
        super().__init__()
        self._steps = StepCounter()
        self._windows: dict[int, Tensor] = {}  # losses of points not yet written, by step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps.start(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        losses: Any = getattr(pl_module, "losses", None)
        if not self._steps.passes(trainer, every):
            return
        point: dict[str, Tensor | float] = {}
        if losses:
            window = torch.cat(losses)
            point["train/loss_step"] = window.mean()
            self._windows[trainer.global_step] = window
            losses.clear()
        self.add_point(trainer, pl_module, point | learning_rates(trainer))

    def write_points(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for step, point in self._points:
            if not math.isfinite(point.get("train/loss_step", 0.0)):
                check_losses: Any = pl_module.check_losses
                check_losses(self._windows[step], step)
        self._windows.clear()
        super().write_points(trainer, pl_module)


def learning_rates(trainer: Trainer) -> dict[str, float]:
    """The learning rates by name, in the order of the optimizers and their parameter groups."""
    rates = [float(group["lr"]) for optimizer in trainer.optimizers for group in optimizer.param_groups]
    return {f"train/lr{f'_{i}' if len(rates) > 1 else ''}": rate for i, rate in enumerate(rates)}
