"""Trains the head first, then the layers below it one after another."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from engine.errors import UserError


class Unfreezing(Callback):
    """Trains the parameters named by `stages`, each stage from its epoch on; all others from the start.

    A stage is a regular expression that is searched for in parameter names. The first trains from epoch 0, the second
    from epoch `epochs`, the third from 2 · `epochs`, and so on; a parameter belongs to the first stage that matches.
    Until then it gets no gradient and no weight decay, and the statistics of its BatchNorm do not change. The stage
    depends only on the epoch, so a resumed training continues in the same one. Several processes need
    `trainer.strategy=ddp_find_unused_parameters_true`.

    Sources: Howard & Ruder 2018, arXiv 1801.06146, section 3.3 (gradual unfreezing); Kumar et al. 2022, arXiv
    2202.10054 (the head first, then everything: LP-FT). Departure from the latter: the head is not trained to the end.
    """

    follows_chunks = True

    def __init__(self, *, stages: Sequence[str], epochs: Annotated[int, Ge(1)]) -> None:
        self.stages = [re.compile(pattern) for pattern in stages]
        self.epochs = epochs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        names = [name for name, parameter in pl_module.named_parameters() if parameter.requires_grad]
        for stage in self.stages:
            if not any(stage.search(name) for name in names):
                raise UserError(
                    f"callback.unfreezing.stages: {stage.pattern!r} matches no trained parameter; there are "
                    f"{', '.join(names[:5])}, …"
                )
        self._waiting = {name for name in names if self._stage(name) > 0}
        self._current: int | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Not at the start of an epoch: training may resume inside one, and the module then resets all layers' modes.
        stage = trainer.current_epoch // self.epochs
        if stage == self._current:
            return
        self._current = stage
        for name, parameter in pl_module.named_parameters():
            if name in self._waiting:
                parameter.requires_grad_(self._stage(name) <= stage)
        for optimizer in trainer.optimizers:
            start_momentum(optimizer)
        keeps_statistics = getattr(pl_module, "freeze_batchnorm", False)
        for module in pl_module.modules():
            if isinstance(module, _BatchNorm) and module.affine and not keeps_statistics:
                module.train(module.weight.requires_grad)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, parameter in pl_module.named_parameters():
            if name in self._waiting:
                parameter.requires_grad_(True)

    def _stage(self, name: str) -> int:
        """A parameter's stage; 0 if none matches."""
        return next((number for number, stage in enumerate(self.stages) if stage.search(name)), 0)


def start_momentum(optimizer: Optimizer) -> None:
    """Gives newly trained parameters of a fused SGD a momentum of 0, since either all in a group or none must have one.

    Their first step is the same as without momentum buffers, unless momentum is dampened.
    """
    for group in optimizer.param_groups:
        parameters = [p for p in group["params"] if p.requires_grad] if group.get("fused") else []
        if any(optimizer.state[p].get("momentum_buffer") is not None for p in parameters if p in optimizer.state):
            for parameter in parameters:
                optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
