from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from engine.errors import UserError


class Lookahead(Callback):
    """Every few optimizer steps, replaces the weights by a moving average of them, with increasing strength.

    After every `period`-th step t:  average ← d·average + (1 - d)·weights,  weights ← average,  with
    d = decay^period · (t / total_steps)^power.  After the last step, the weights are set to the average.
    Weights are all floating-point entries of the module's state dict: parameters and BatchNorm's running statistics.

    Counts optimizer steps, not batches, since a training step may make several. The average and the count are stored in
    checkpoints, so resuming is exact. Supports one optimizer.

    Source: Zhang et al. 2019, "Lookahead optimizer", arXiv 1907.08610, with the schedule of airbench94 (Jordan 2024,
    arXiv 2404.00498, section 3.4; there period 5, decay 0.95, power 3).

    Args:
        total_steps: optimizer steps in the whole training; None: the module's own or Lightning's estimate.
        period: steps between two updates.
        decay: maximum fraction of the average kept per step.
        power: exponent of the growth of d over the training.
    """

    follows_chunks = True

    def __init__(
        self,
        *,
        total_steps: int | None,
        period: Annotated[int, Ge(1)],
        decay: Annotated[float, Ge(0), Le(1)],
        power: Annotated[float, Ge(0)],
    ) -> None:
        if total_steps is not None and total_steps < 1:
            raise ValueError(f"Lookahead needs the number of optimizer steps: total_steps is {total_steps}")
        self.total_steps, self.period, self.decay, self.power = total_steps, period, decay, power
        self.step = 0
        self.average: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if len(trainer.optimizers) != 1:
            raise UserError(f"callback.lookahead supports one optimizer, but there are {len(trainer.optimizers)}.")
        known: Any = getattr(pl_module, "total_steps", None)
        spanned = self.total_steps or (known() if callable(known) else trainer.estimated_stepping_batches)
        self._last_step: float = spanned
        state = pl_module.state_dict()  # its tensors share the module's memory
        self._weights = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
        start = self.average or {name: tensor.clone() for name, tensor in self._weights.items()}
        shapes = [{name: tensor.shape for name, tensor in side.items()} for side in (start, self._weights)]
        if shapes[0] != shapes[1]:
            raise UserError("The checkpoint's average of callback.lookahead is not of this network's weights.")
        self.average = {name: start[name].to(tensor.device) for name, tensor in self._weights.items()}
        trainer.optimizers[0].register_step_post_hook(self._after_step)

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        self.step += 1
        average, weights = list(self.average.values()), list(self._weights.values())
        if self.step % self.period == 0:
            decay = self.decay**self.period * (self.step / self._last_step) ** self.power
            torch._foreach_lerp_(average, weights, 1 - decay)
            torch._foreach_copy_(weights, average)
        if self.step == self._last_step:
            torch._foreach_copy_(weights, average)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step, self.average = state_dict["step"], dict(state_dict["average"])
