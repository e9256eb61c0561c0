"""A clock that only a test moves."""

import time

import pytest


class Clock:
    """Stands in for time.monotonic; `now` is in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
