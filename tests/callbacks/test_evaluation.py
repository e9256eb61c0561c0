from types import SimpleNamespace
from typing import Any

from callbacks.evaluation import EvaluationCallback


class Recorder(EvaluationCallback):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def collect(self, scores: Any, labels: Any) -> None:
        self.calls.append(("collect", scores, labels))

    def show(self, trainer: Any, split: str) -> None:
        self.calls.append(("show", split))


def test_validation_and_test_go_the_same_way() -> None:
    recorder, trainer, module = Recorder(), SimpleNamespace(), SimpleNamespace()
    for name in ("validation", "test"):
        getattr(recorder, f"on_{name}_batch_end")(trainer, module, "scores", ("inputs", "labels"), 0)
        getattr(recorder, f"on_{name}_epoch_end")(trainer, module)
    collected = ("collect", "scores", "labels")
    assert recorder.calls == [collected, ("show", "val"), collected, ("show", "test")]
