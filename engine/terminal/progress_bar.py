"""The progress of a training in the terminal or in a log."""

import logging
import math
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

from annotated_types import Gt
from pytorch_lightning import LightningModule, Trainer, callbacks
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from engine.errors import UserError, printable
from engine.process.activity import is_live
from engine.terminal.epoch_lines import EpochLines
from engine.wording import fitting

logger = logging.getLogger(__name__)

BAR, NARROW = 20, 10  # columns of the bar, and in terminals with less than 60 columns


class ProgressBar(callbacks.ProgressBar):
    """Shows the epoch, the monitored metric, time left, loss, optimizer step, speed, learning rate and other metrics.

    In a terminal, one bar covers the whole training; parts that do not fit beside it are left out, the last first.
    Elsewhere, a line is logged every `line_seconds`. `loss` is that of the last step (or the mean over a chunk of
    steps); metrics are those of the last epoch. In both cases, one line per epoch remains (epoch_lines.py). Only the
    first process prints.

    Args:
        refresh_seconds: minimum time between two updates in a terminal.
        line_seconds: time between two lines in a log, in seconds.
    """

    follows_chunks = True

    def __init__(self, *, refresh_seconds: Annotated[float, Gt(0)], line_seconds: Annotated[float, Gt(0)]) -> None:
        super().__init__()
        self.refresh_seconds, self.line_seconds = refresh_seconds, line_seconds
        self.is_enabled = True  # LightningModule.print asks
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs: EpochLines | None = None

    def disable(self) -> None:
        """Called by the Trainer in all processes except the first."""
        self.is_enabled = False

    def enable(self) -> None:
        self.is_enabled = True

    # When to report --------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._total = total_steps(trainer, pl_module)
        self._first_step, self._started = trainer.global_step, time.monotonic()
        self._said = self._started
        self._loss: float | None = None
        self._epochs = EpochLines(trainer, self.line_seconds)
        console = Console()
        if self.is_enabled and is_live(sys.stdout) and console.is_terminal:
            bar = BarColumn(BAR if console.width >= 60 else NARROW)
            columns = (bar, TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)))
            # Without rich's refresh thread, which would interrupt the training four times per second.
            self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
            self._task = self._bar.add_task("", total=self._total)
            self._bar.start()
            self._look(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell_epoch(trainer)

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

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._epochs is not None:
            self._epochs.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._epochs is not None:
            self._epochs.end_epoch(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell_epoch(trainer, is_last=True)
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._tell_epoch(trainer)
        self._stop()

    def _stop(self) -> None:
        self._epochs = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    # What to report --------------------------------------------------------------------------------------------------

    def _tell_epoch(self, trainer: Trainer, *, is_last: bool = False) -> None:
        """Prints a line about the epoch that has just ended, if there is one and it gets a line."""
        line = self._epochs.line(trainer, is_last=is_last) if self._epochs is not None else None
        if line is None or not self.is_enabled:
            return
        if self._bar is None:
            logger.info("%s", line)
            self._said = time.monotonic()
            return
        self._bar.console.print(line, soft_wrap=True, highlight=False, markup=False)
        record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, "%s", (line,), None)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler):  # the others would draw over the bar
                handler.handle(record)

    def _look(self, trainer: Trainer, pl_module: LightningModule, doing: str = "") -> None:
        if not self.is_enabled:
            return
        self._said = time.monotonic()
        parts = list(self.describe(trainer, pl_module, doing))
        if self._bar is None:
            logger.info("%s", ", ".join(parts))
        else:
            width = self._bar.console.width
            text = fitting(parts, width - 2 - (BAR if width >= 60 else NARROW))
            self._bar.update(self._task, completed=trainer.global_step, description=text)
            self._bar.refresh()

    def describe(self, trainer: Trainer, pl_module: LightningModule, doing: str) -> Iterator[str]:
        """The parts of the line, the most important first."""
        step, epochs = trainer.global_step, trainer.max_epochs or 0
        seconds = time.monotonic() - self._started
        rate = (step - self._first_step) / seconds if seconds else 0.0
        metrics = dict(sorted(trainer.progress_bar_metrics.items()))
        metrics.pop("train/loss", None)
        monitored = self._epochs.monitor if self._epochs else None
        yield f"epoch {trainer.current_epoch + 1:,}" + (f"/{epochs:,}" if epochs > 0 else "") + doing
        if monitored in metrics:
            yield _shown(monitored, metrics.pop(monitored))
        if self._total and rate:
            yield f"{timedelta(seconds=round((self._total - step) / rate))} left"
        loss = self._last_loss(pl_module)
        yield from () if loss is None else (_shown("loss", loss),)
        yield f"step {step:,}" + (f"/{self._total:,}" if self._total else "")
        yield f"{rate:,.{0 if rate >= 100 else 1}f} steps/s" if rate >= 1 or not rate else f"{1 / rate:,.1f} s/step"
        if trainer.optimizers:
            yield _shown("lr", trainer.optimizers[0].param_groups[-1]["lr"])
        yield from (_shown(name, value) for name, value in metrics.items())

    def _last_loss(self, pl_module: LightningModule) -> float | None:
        losses: Any = getattr(pl_module, "losses", None)  # those since the last point of the loss curve
        if losses:
            self._loss = float(losses[-1].mean())
        return self._loss


def _shown(name: str, value: Any) -> str:
    return f"{printable(name)} {float(value):.3g}"


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
