"""The line that each epoch leaves on the screen and in train.log."""

import time
from collections.abc import Iterator
from typing import Any

from pytorch_lightning import Trainer

from engine.errors import printable
from engine.wording import fitting

LINES = 50
"""The approximate number of lines of a longer training: every n-th epoch, the last one, and slow ones get a line."""

COLUMNS = 80


class EpochLines:
    """Writes one line per epoch: its number (from 1), training loss, monitored metric, others that fit, and seconds.

    `best` follows the monitored metric of an epoch that is better than all before it. If more than LINES epochs remain,
    only every n-th gets a line, about LINES in all, and so does any epoch that ends `line_seconds` or more after the
    last line. An epoch's seconds include its validation.
    """

    def __init__(self, trainer: Trainer, line_seconds: float) -> None:
        self.line_seconds = line_seconds
        kept: list[Any] = [*trainer.checkpoint_callbacks]
        self._best = next((callback for callback in kept if getattr(callback, "monitor", None)), None)
        self.monitor: str | None = self._best and self._best.monitor
        self.validated = False
        self._score = self._best_score()
        epochs = trainer.max_epochs or 0
        self._every = max(1, -(-(epochs - trainer.current_epoch) // LINES)) if epochs > 0 else LINES
        self._first = trainer.current_epoch + 1
        self._started = self._said = time.monotonic()
        self._ended: tuple[int, float] | None = None

    def end_epoch(self, trainer: Trainer) -> None:
        """Ends the epoch. Whether it was the best, and some metrics, are only known after all callbacks have run."""
        now = time.monotonic()
        self._ended, self._started = (trainer.current_epoch + 1, now - self._started), now

    def line(self, trainer: Trainer, *, is_last: bool) -> str | None:
        """The line of the epoch that has just ended; None if no epoch has ended or this one gets no line."""
        if self._ended is None:
            return None
        (epoch, seconds), self._ended = self._ended, None
        score, before = self._best_score(), self._score
        is_best, self._score = score != before, score
        validated, self.validated = self.validated, False
        now = time.monotonic()
        is_nth = epoch % self._every == 0 or (epoch <= LINES and trainer.max_epochs in (None, -1))
        if not (is_nth or is_last or epoch == self._first or now - self._said >= self.line_seconds):
            return None
        self._said = now
        number = f"{trainer.max_epochs:,}" if (trainer.max_epochs or 0) > 0 else ""
        head = f"epoch {epoch:>{len(number) or 1},}" + (f"/{number}" if number else "")
        end = f"{seconds:,.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
        metrics = fitting(list(self._metrics(trainer, validated, is_best)), COLUMNS - len(head) - len(end) - 4, "  ")
        return "  ".join(part for part in (head, metrics, end) if part)

    def _metrics(self, trainer: Trainer, validated: bool, is_best: bool) -> Iterator[str]:
        known = trainer.callback_metrics
        monitored = [self.monitor] if self.monitor else []
        known_to_the_bar = set(trainer.progress_bar_metrics) - {"train/loss", *monitored}
        others = sorted(known_to_the_bar, key=lambda name: (name.startswith("train"), not name.endswith("/loss"), name))
        for name in ["train/loss", *monitored, *others]:
            if name in known and (validated or name.startswith("train")):
                best = (" best" if is_best else "     ") if name == self.monitor else ""
                yield f"{printable(name)} {_brief(float(known[name])):<7}{best}"

    def _best_score(self) -> float | None:
        score = getattr(self._best, "best_model_score", None)
        return None if score is None else float(score)


def _brief(value: float) -> str:
    """Four significant digits, or two if four take more than seven characters."""
    text = f"{value:.4g}"
    return text if len(text) <= 7 else f"{value:.2g}"
