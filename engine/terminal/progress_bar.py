"""Progress of a training in the terminal or in a log."""

import logging
import math
import time
from datetime import timedelta
from typing import Annotated, Any

from annotated_types import Gt
from pytorch_lightning import LightningModule, Trainer, callbacks
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from engine.errors import UserError

logger = logging.getLogger(__name__)


class ProgressBar(callbacks.ProgressBar):
    """Shows the epoch, optimizer step, steps per second, time left, loss, metrics and learning rate.

    In a terminal, one bar covers the whole training. Elsewhere, a line is logged every `line_seconds`, and at the end
    of each epoch that took longer. `loss` is that of the last step (or the mean over a chunk of steps); the metrics are
    those of the last epoch. Only the first process prints anything.

    Args:
        refresh_seconds: minimum time between two updates in a terminal.
        line_seconds: time between two lines in a log.
    """

    follows_chunks = True

    def __init__(self, *, refresh_seconds: Annotated[float, Gt(0)], line_seconds: Annotated[float, Gt(0)]) -> None:
        super().__init__()
        self.refresh_seconds, self.line_seconds = refresh_seconds, line_seconds
        self._is_enabled = True
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def disable(self) -> None:
        """Called by the Trainer in all processes but the first."""
        self._is_enabled = False

    def enable(self) -> None:
        self._is_enabled = True

    # When to report --------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._total = total_steps(trainer, pl_module)
        self._first_step, self._started = trainer.global_step, time.monotonic()
        self._said = self._epoch_started = self._started
        self._loss: float | None = None
        console = Console()
        if self._is_enabled and console.is_terminal:
            columns = (BarColumn(20), TextColumn("{task.description}", table_column=Column(no_wrap=True)))
            # Without rich's refresh thread, which would interrupt the training four times per second.
            self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
            self._task = self._bar.add_task("", total=self._total)
            self._bar.start()
            self._look(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_started = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        seconds = self.line_seconds if self._bar is None else self.refresh_seconds
        if time.monotonic() - self._said >= seconds:
            self._look(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._bar is not None and time.monotonic() - self._said >= self.refresh_seconds:
            self._look(trainer, pl_module, ", validating")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is None and time.monotonic() - self._epoch_started >= self.line_seconds:
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    # What to report --------------------------------------------------------------------------------------------------

    def _look(self, trainer: Trainer, pl_module: LightningModule, doing: str = "") -> None:
        if not self._is_enabled:
            return
        self._said = time.monotonic()
        text = self.describe(trainer, pl_module, doing)
        if self._bar is None:
            logger.info("%s", text)
        else:
            self._bar.update(self._task, completed=trainer.global_step, description=text)
            self._bar.refresh()

    def describe(self, trainer: Trainer, pl_module: LightningModule, doing: str) -> str:
        step, epochs = trainer.global_step, trainer.max_epochs or 0
        seconds = time.monotonic() - self._started
        rate = (step - self._first_step) / seconds if seconds else 0.0
        parts = [
            f"epoch {trainer.current_epoch + 1:,}" + (f"/{epochs:,}" if epochs > 0 else "") + doing,
            f"step {step:,}" + (f"/{self._total:,}" if self._total else ""),
            f"{rate:,.{0 if rate >= 100 else 1}f} steps/s",
        ]
        if self._total and rate:
            parts.append(f"{timedelta(seconds=round((self._total - step) / rate))} left")
        figures = (f"{name} {value:.3g}" for name, value in self._figures(trainer, pl_module).items())
        return f"{', '.join(parts)} | {', '.join(figures)}"

    def _figures(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        losses: Any = getattr(pl_module, "losses", None)  # since the last point of the loss curve
        if losses:
            self._loss = float(losses[-1].mean())
        figures = {} if self._loss is None else {"loss": self._loss}
        if trainer.optimizers:
            figures["lr"] = trainer.optimizers[0].param_groups[-1]["lr"]
        metrics = {name: float(value) for name, value in trainer.progress_bar_metrics.items() if name != "train/loss"}
        return figures | dict(sorted(metrics.items()))


def total_steps(trainer: Trainer, pl_module: Any) -> int | None:
    """Optimizer steps of the whole training; None if it is unlimited."""
    if trainer.max_epochs in (None, -1) and trainer.max_steps == -1:
        return None
    known = getattr(pl_module, "total_steps", None)
    try:
        steps: float = known() if callable(known) else trainer.estimated_stepping_batches
    except UserError:
        return None
    return int(steps) if steps > 0 and math.isfinite(steps) else None
