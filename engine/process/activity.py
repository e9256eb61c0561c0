"""What a command is busy with, as the last line of a terminal until it is done. Nothing here imports torch."""

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from engine.errors import printable

logger = logging.getLogger(__name__)

T = TypeVar("T")

REFRESH, LINE = 0.2, 60.0  # seconds between two updates in a terminal, and between two lines elsewhere
LONG = 5.0
"""Seconds that something must be expected to take to get lines where there is no terminal."""


_under_way: list["Activity"] = []


def is_live(stream: Any) -> bool:
    """Whether a line can be drawn over on a stream: it is a terminal, and not a dumb one."""
    return bool(stream is not None and stream.isatty()) and os.environ.get("TERM", "") not in ("dumb", "unknown")


class Activity:
    """Shows from the first moment what is being done and, if its `total` is known, how fast and for how much longer.

    In a terminal this is one line on stderr, which vanishes at the end. Elsewhere it is a line after the first second
    and then one a minute, and only if all of it takes longer than a few seconds: in train.log if there is one, else on
    stderr.
    """

    def __init__(self, text: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        self.text, self.total, self.unit = text, total, unit
        self.done = self._before = done
        self.started = self._said = time.monotonic()
        self._has_spoken = False
        self._is_live = is_live(sys.stderr)
        _under_way.append(self)
        self._show()

    def advance(self, count: float = 1) -> None:
        """Notes that `count` more are done."""
        self.done += count
        now = time.monotonic()
        if self._is_live and now - self._said >= REFRESH:
            self._said = now
            self._show()
        elif not self._is_live and now - self._said >= (LINE if self._has_spoken else 1) and self._is_long(now):
            self._said, self._has_spoken = now, True
            self._print(self.describe())

    def say(self, text: str) -> None:
        """Prints a line on stderr that stays."""
        self._draw("")
        print(printable(text), file=sys.stderr)

    def describe(self) -> str:
        """`Features: 120/397 images, 40 per second, 0:00:07 left`."""
        whole = f"/{self.total:,.0f}" if self.total else ""
        parts = [f"{self.text}: {self.done:,.0f}{whole}{' ' * bool(self.unit)}{self.unit}"]
        seconds = time.monotonic() - self.started
        if self.done > self._before and seconds:
            rate = (self.done - self._before) / seconds
            parts.append(f"{rate:,.{0 if rate >= 10 else 1}f} per second")
            if self.total:
                parts.append(f"{timedelta(seconds=round((self.total - self.done) / rate))} left")
        return ", ".join(parts)

    def end(self) -> None:
        _under_way.remove(self)
        self._draw("")
        if _under_way:  # it began during another one
            _under_way[-1]._show()

    def _show(self) -> None:
        self._draw(f"{self.text} …" if self.total is None else self.describe())

    def _is_long(self, now: float) -> bool:
        left = (self.total - self.done) * (now - self.started) / self.done if self.total and self.done else LONG
        return self._has_spoken or left >= LONG

    def _draw(self, text: str) -> None:
        """Puts the text in the place of the last line, if this is a terminal; the cursor returns to its start."""
        if self._is_live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{text if len(text) <= width else text[: width - 1] + '…'}\r")
            sys.stderr.flush()

    def _print(self, text: str) -> None:
        if logging.getLogger().isEnabledFor(logging.INFO) and logging.getLogger().handlers:
            logger.info("%s", text)
        else:
            print(text, file=sys.stderr, flush=True)


@contextmanager
def activity(text: str, total: float | None = None, unit: str = "", done: float = 0) -> Iterator[Activity]:
    """An Activity for the time of a block; `done` was there before it."""
    shown = Activity(text, total, unit, done)
    try:
        yield shown
    finally:
        shown.end()


def watched(items: Iterable[T], text: str, unit: str = "", *, total: float | None = None) -> Iterator[T]:
    """The items, each counted as done when the next one is asked for."""
    with activity(text, len(items) if total is None and isinstance(items, Sized) else total, unit) as shown:
        for item in items:
            yield item
            shown.advance()
