import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from callbacks.evaluation import EvaluationCallback, PredictionCallback
from losses.one_hot_mse import OneHotMSELoss
from tests.noise import classifier


class Recorder(EvaluationCallback):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def collect(self, scores: Any, labels: Any) -> None:
        self.calls.append(("collect", scores, labels))

    def show(self, trainer: Any, split: str) -> None:
        self.calls.append(("show", split))

    def forget(self) -> None:
        self.calls.append(("forget",))


class Last(Recorder):
    is_last_alone = True


def trainer(epoch: int = 0, max_epochs: int | None = 1, every: int | None = 1, stop: bool = False) -> Any:
    return SimpleNamespace(
        current_epoch=epoch, max_epochs=max_epochs, check_val_every_n_epoch=every, should_stop=stop, global_step=epoch
    )


def test_validation_and_test_go_the_same_way() -> None:
    recorder, module = Recorder(), SimpleNamespace()
    for name in ("validation", "test"):
        getattr(recorder, f"on_{name}_start")(trainer(), module)
        getattr(recorder, f"on_{name}_batch_end")(trainer(), module, "scores", ("inputs", "labels"), 0)
        getattr(recorder, f"on_{name}_epoch_end")(trainer(), module)
        recorder.on_train_epoch_end(trainer(), module)  # type: ignore[arg-type]
    collected = [("forget",), ("collect", "scores", "labels")]
    assert recorder.calls == [*collected, ("show", "val"), *collected, ("show", "test")]


def shown(recorder: Recorder, max_epochs: int | None, every: int = 1, stop_at: int | None = None) -> list[int]:
    """The epochs, counted from 1, whose validation is shown."""
    epochs = []
    for epoch in range(stop_at or max_epochs or 0):
        state = trainer(epoch, max_epochs, every, stop=epoch + 1 == stop_at)
        if (epoch + 1) % every == 0:
            recorder.on_validation_epoch_end(state, None)  # type: ignore[arg-type]
        recorder.on_train_epoch_end(state, None)  # type: ignore[arg-type]
        epochs += [epoch + 1] if recorder.calls else []
        recorder.calls.clear()
    return epochs


@pytest.mark.parametrize(
    ("max_epochs", "every", "stop_at", "some", "last"),
    [
        (11, 1, None, [1, 2, 4, 8, 11], [11]),
        (8, 1, None, [1, 2, 4, 8], [8]),
        (12, 5, None, [5, 10], [10]),
        (50, 5, None, [5, 10, 20, 40, 50], [50]),
        (100, 1, 6, [1, 2, 4, 6], [6]),
        (-1, 1, 3, [1, 2, 3], [3]),
    ],
)
def test_which_validations_are_shown(
    max_epochs: int, every: int, stop_at: int | None, some: list[int], last: list[int]
) -> None:
    assert shown(Recorder(), max_epochs, every, stop_at) == some
    assert shown(Last(), max_epochs, every, stop_at) == last


@pytest.mark.parametrize(
    ("loss", "outputs", "expected"),
    [
        (nn.CrossEntropyLoss(), [0.0, 1.0, -math.inf], [0.2689414, 0.7310586, 0.0]),
        (nn.NLLLoss(), [math.log(0.2), math.log(0.8), -math.inf], [0.2, 0.8, 0.0]),
        (OneHotMSELoss(), [-0.5, 1.5, 0.25], [0.0, 0.8, 0.2]),
        (OneHotMSELoss(), [-3.0, -2.0, -3.0], [0.2119416, 0.5761169, 0.2119416]),
    ],
)
def test_probabilities_are_the_procedures_own_and_of_the_last_validation_alone(
    loss: nn.Module, outputs: list[float], expected: list[float]
) -> None:
    callback, module, batch = PredictionCallback(), classifier(loss=loss), (None, torch.tensor([0]))
    labelled = SimpleNamespace(datamodule=SimpleNamespace(classes="abc", labels=lambda split, indices: [0]))
    for values in ([9.0, 0.0, 0.0], outputs):
        callback.on_validation_start(labelled, module)  # type: ignore[arg-type]
        callback.on_validation_batch_end(labelled, module, torch.tensor([values]), batch, 0)
    torch.testing.assert_close(callback.probabilities, torch.tensor([expected]), rtol=1e-4, atol=1e-5)
    assert int(callback.probabilities.argmax()) == int(torch.tensor(outputs).argmax())


def test_what_is_not_shown_yet_is_in_a_checkpoint() -> None:
    """A run that is killed between its last validation and the epoch's end shows it all the same."""

    class Shown(PredictionCallback):
        def show(self, trainer: Any, split: str) -> None:
            self.shown = self.probabilities.tolist()

    module: Any = SimpleNamespace(probabilities=lambda outputs: outputs)
    state = SimpleNamespace(**vars(trainer()), training=True, datamodule=SimpleNamespace(classes=1, labels=1))
    first, second, third = Shown(), Shown(), Shown()
    first.on_validation_start(state, module)  # type: ignore[arg-type]
    first.on_validation_batch_end(state, module, torch.ones(1, 2), (None, torch.tensor([1])), 0)  # type: ignore[arg-type]
    first.on_validation_epoch_end(state, module)  # type: ignore[arg-type]
    checkpoint: dict[str, Any] = {}
    first.on_save_checkpoint(state, module, checkpoint)  # type: ignore[arg-type]
    second.on_load_checkpoint(state, module, checkpoint)  # type: ignore[arg-type]
    second.on_train_epoch_end(state, module)  # type: ignore[arg-type]
    assert second.shown == [[1.0, 1.0]]
    second.on_save_checkpoint(state, module, after := {})  # type: ignore[arg-type]
    assert after == {}, "shown"
    third.on_load_checkpoint(state, module, after)  # type: ignore[arg-type]
    third.on_train_epoch_end(state, module)  # type: ignore[arg-type]
    assert not hasattr(third, "shown")
