import time
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.throughput import Throughput


class Module(SimpleNamespace):
    def __init__(self) -> None:
        super().__init__(examples_seen=0, logged=[])

    def log_now(self, values: dict[str, float]) -> None:
        self.logged += values.items()


def test_counts_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    callback, trainer, module = Throughput(), None, Module()
    args: Any = (trainer, module)
    assert callback.images_per_second is None
    for examples, training, validation in ((10, 2.0, 5.0), (20, 3.0, 1.0)):
        callback.on_train_epoch_start(*args)
        module.examples_seen += examples
        clock += training
        callback.on_validation_start(*args)
        clock += validation
        callback.on_validation_end(*args)
        callback.on_train_epoch_end(*args)
        clock += 50  # between epochs
    assert module.logged == [
        ("train/images_per_second", pytest.approx(5)),
        ("train/images_per_second", pytest.approx(20 / 3)),
    ]
    assert callback.images_per_second == pytest.approx(30 / 5)


def test_each_epoch_has_a_point(events: EventAccumulator) -> None:
    points = events.Scalars("train/images_per_second")
    assert len(points) == 3
    assert all(point.value > 0 for point in points)
