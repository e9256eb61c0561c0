"""The norm of the gradients."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from engine.training.steps.step_counter import StepCounter
from engine.training.steps.step_points import StepPoints


class GradientNorm(StepPoints):
    """Logs `train/grad_norm`, the norm of all gradients before clipping, at the same steps as callbacks/step_curves.py.

    Not available with fsdp, where no process has all gradients, or with several optimizers.
    """

    follows_chunks = True

    def __init__(self) -> None:
        super().__init__()
        self._norm: Tensor | None = None
        self._steps = StepCounter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps.start(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._norm = gradient_norm(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        shared_out = isinstance(trainer.strategy, FSDPStrategy) or len(trainer.optimizers) != 1
        if not self._steps.passes(trainer, every) or shared_out:
            return
        if getattr(pl_module, "takes_chunks", False):
            # The last step's gradients are still there, unclipped.
            self._norm = gradient_norm(trainer.optimizers[0])
        if self._norm is not None:
            self.add_point(trainer, pl_module, {"train/grad_norm": self._norm})
        self._norm = None


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """√Σ g² over the gradients of all the optimizer's parameters, a scalar; 0 if there are none."""
    parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)
