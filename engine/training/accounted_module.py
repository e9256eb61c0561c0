"""Counts batches, accumulates their losses and metrics, and logs the results."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torchmetrics import MetricCollection

from engine.errors import DivergenceError
from engine.training.lightning_internals import load_metric_states, metric_states


class Outcome(NamedTuple):
    """The result of one batch: the mean loss (), and predictions and targets for the metrics, both (N, ...)."""

    loss: Tensor
    predictions: Tensor
    targets: Tensor


class AccountedModule(LightningModule):
    """A LightningModule that accumulates mean losses and metrics, and keeps the losses of single steps."""

    follows_chunks = True  # engine/training/steps/chunks.py

    def __init__(self) -> None:
        super().__init__()
        self.examples_seen = 0  # in training, by this process
        self.losses: list[Tensor] = []  # of the mini-batches since the last point of their curve
        self.logged_before: dict[str, float] = {}  # the metrics of the training that this one continues
        self._sums: dict[str, Tensor] = {}  # of `split/loss` and other means: (sum over the examples, their number)
        self._sizes: tuple[list[int], Tensor] = ([], torch.empty(0))  # of the last mini-batches, on the device

    def metrics(self, split: str) -> MetricCollection | None:
        """The torchmetrics of `split` (train, val, test), named `split/...`, if any."""
        return None

    def _account(self, split: str, outcomes: Sequence[Outcome]) -> None:
        """Adds several mini-batches to the split's sums at once, without waiting for the device."""
        counts = [len(outcome.targets) for outcome in outcomes]
        if self._sizes[0] != counts or self._sizes[1].device != self.device:
            self._sizes = counts, torch.tensor(counts, device=self.device)  # a copy waits for the device: rarely
        sizes = self._sizes[1]
        losses = torch.stack([outcome.loss.detach().float() for outcome in outcomes])
        self._add(f"{split}/loss", torch.stack([(losses * sizes).sum(), sizes.sum()]))
        if split == "train":
            self.examples_seen += sum(counts)
            self.losses.append(losses)
            if losses.device.type == "cpu":  # elsewhere it would wait for the device
                # Lightning's own optimizer has not made its step yet, a chunk has made all of its steps.
                self.check_losses(losses, self.global_step + self.automatic_optimization)
        if (metrics := self.metrics(split)) is not None:
            predictions = torch.cat([outcome.predictions.detach() for outcome in outcomes])
            metrics.update(predictions, torch.cat([outcome.targets for outcome in outcomes]))

    def add_to_mean(self, name: str, value: Tensor, count: int) -> None:
        """Adds the mean () over a batch of `count` examples, such as a term of the loss, to the epoch's mean `name`.

        A `name` such as `train/discrepancy` is logged with the metrics of its split.
        """
        value = value.detach().float()
        self._add(name, torch.stack([value * count, torch.full_like(value, count)]))

    def _add(self, name: str, sums: Tensor) -> None:
        self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def check_losses(self, losses: Tensor, last_step: int) -> None:
        """DivergenceError if one of the losses (N,) of the N steps up to the `last_step`-th is not finite."""
        if not losses.isfinite().all():
            rates = [group["lr"] for optimizer in self.trainer.optimizers for group in optimizer.param_groups]
            raise DivergenceError(losses, last_step, rates)

    def _log_epoch(self, split: str) -> None:
        values, main = {}, {f"{split}/loss"}
        for name in [name for name in self._sums if name.startswith(f"{split}/")]:
            total, count = self.trainer.strategy.reduce(self._sums.pop(name), reduce_op="sum")
            values[name] = total / count
        if not values:
            return
        if (metrics := self.metrics(split)) is not None:
            computed = metrics.compute()
            values |= self.named_metrics(computed)
            main |= computed.keys()
            metrics.reset()
        self.log_now(values, main)

    def log_now(self, values: Mapping[str, Tensor | float], main: Collection[str] = ()) -> None:
        """Passes scalars to callbacks and loggers, and those in `main` to the progress bar.

        In training, they are written immediately, so that the curves stored with a checkpoint end where it was saved.
        The x axis is always optimizer steps: Lightning would count batches, and a chunk is one batch.
        """
        if self.trainer.state.fn != TrainerFn.FITTING:
            # All processes have the same values; unless they are synchronized, Lightning warns of each one.
            self.log_dict({**values, "step": float(self.global_step)}, sync_dist=True, reduce_fx="max")
            return
        # As self.log() would leave them, but that one takes 2 ms a value.
        scalars = {name: float(value) for name, value in values.items()}
        self.trainer.callback_metrics.update({name: torch.as_tensor(value) for name, value in values.items()})
        self.trainer.progress_bar_metrics.update({name: scalars[name] for name in scalars.keys() & main})
        for logger in self.loggers:
            logger.log_metrics(scalars, step=self.global_step)

    def named_metrics(self, computed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scalars to log, from the results of the metrics; by default the same."""
        return dict(computed)

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def account_state(self) -> dict[str, Any]:
        """The accumulated state for a checkpoint. Raises DivergenceError rather than save a diverged training."""
        losses = torch.cat(self.losses) if self.losses else None
        if losses is not None:
            self.check_losses(losses, self.global_step)
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        return {
            "examples_seen": self.examples_seen,
            "losses": losses,
            "sums": {name: sums for name, sums in self._sums.items() if name.startswith("train/")},
            "metrics": metric_states(self.metrics("train")),
            "logged": self.logged_before | metrics,
        }

    def load_account_state(self, state: Mapping[str, Any]) -> None:
        """Restores the result of `account_state`. Raises TypeError for anything else."""
        self._require_account(state)
        self.examples_seen, self.logged_before = state["examples_seen"], state["logged"]
        self.losses = [] if state["losses"] is None else [state["losses"]]
        self._sums = dict(_sums_of(state))
        load_metric_states(self.metrics("train"), state["metrics"])

    def _require_account(self, state: Mapping[str, Any]) -> None:
        """Raises TypeError for values that would only fail later, in the middle of the training."""
        sums, losses = _sums_of(state).values(), state["losses"]
        if not isinstance(state["logged"], Mapping):
            raise TypeError("what it has logged has no names")
        if not (losses is None or (isinstance(losses, Tensor) and losses.ndim == 1)):
            raise TypeError("its losses are not a one-dimensional tensor")
        if not all(isinstance(part, Tensor) and part.shape == (2,) for part in sums):
            raise TypeError("its sums are not two each")
        if not all(isinstance(number, int | float) for number in (state["examples_seen"], *state["logged"].values())):
            raise TypeError("what it has logged is no number")

    def move_account_state(self) -> None:
        """Moves the loaded state to the module's device."""
        self._sums = {name: sums.to(self.device) for name, sums in self._sums.items()}
        self.losses = [losses.to(self.device) for losses in self.losses]
        if (metrics := self.metrics("train")) is not None:
            metrics.to(self.device)


def _sums_of(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The sums by name; earlier versions stored only those of the loss, or None."""
    sums = state["sums"]
    if isinstance(sums, Mapping):
        return sums
    return {} if sums is None else {"train/loss": sums}
