from types import SimpleNamespace
from typing import Any

from engine.training.steps.step_counter import StepCounter


def passed_at(steps: list[int], every: int, start: int = 0) -> list[int]:
    trainer: Any = SimpleNamespace(global_step=start)
    counter = StepCounter()
    counter.start(trainer)
    found = []
    for step in steps:
        trainer.global_step = step
        if counter.passes(trainer, every):
            found.append(step)
    return found


def test_multiples_and_what_is_first_past_them() -> None:
    assert passed_at(list(range(1, 13)), 5) == [5, 10]
    assert passed_at([4, 8, 11, 14, 23], 5) == [8, 11, 23]
    assert passed_at([3, 4], 5) == []


def test_a_training_that_goes_on_counts_from_there() -> None:
    assert passed_at([6, 9, 10], 5, start=5) == [10]


def test_a_batch_without_a_step_passes_nothing() -> None:
    assert passed_at([4, 5, 5, 5, 6], 5) == [5]
