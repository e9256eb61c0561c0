from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from sklearn.metrics import precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.pr_curves import THRESHOLDS, PRCurves, precision_recall
from engine.pages.curves import read_logged


def test_precision_and_recall_as_scikit_learn_has_them() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(200, generator=generator)
    is_true = torch.rand(200, generator=generator) < probabilities
    *_, precision, recall = precision_recall(probabilities, is_true)
    for index in (0, 1, 40, 63, 100, 126):
        guess = probabilities >= index / (THRESHOLDS - 1)
        assert float(precision[index]) == pytest.approx(precision_score(is_true, guess, zero_division=0))
        assert float(recall[index]) == pytest.approx(recall_score(is_true, guess))


def test_counts_add_up_and_the_ends_are_counted() -> None:
    probabilities, is_true = torch.tensor([0.0, 1.0, 1.0, 0.5]), torch.tensor([True, True, False, False])
    table = precision_recall(probabilities, is_true)
    assert torch.equal(table[:4].sum(0), torch.full((THRESHOLDS,), 4.0, dtype=torch.double))
    assert table[:, 0].tolist() == [2, 2, 0, 0, 0.5, 1]
    assert table[:, -1].tolist() == [1, 1, 1, 1, 0.5, 0.5]


def test_nothing_true_is_no_division_by_zero() -> None:
    *_, precision, recall = precision_recall(torch.tensor([0.2, 0.3]), torch.tensor([False, False]))
    assert not precision.any()
    assert not recall.any()


def curve(events: EventAccumulator, tag: str) -> np.ndarray:
    (event,) = events.Tensors(tag)
    return np.array(event.tensor_proto.float_val).reshape(6, THRESHOLDS)


def test_a_run_has_a_curve_a_class_of_its_last_validation(events: EventAccumulator, run_dir: Path) -> None:
    assert [event.step for event in events.Tensors("val/pr_ants")] == [12]
    ants, bees = curve(events, "val/pr_ants"), curve(events, "val/pr_bees")
    assert ants[:4].sum(0) == pytest.approx(12)
    assert (ants[0, 0], bees[0, 0]) == (6, 6)
    assert ants[0, 63] + bees[0, 63] == pytest.approx(12 * read_logged(run_dir).curves["val/acc"][12])


def show(folder: Path, probabilities: torch.Tensor) -> EventAccumulator:
    """The curves of one class of two, of which each photo may have both."""
    logger = TensorBoardLogger(folder, "", "")
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    datamodule = SimpleNamespace(classes=["flies", "swims"], labels=lambda split, indices: labels[indices].tolist())
    trainer: Any = SimpleNamespace(
        loggers=[logger], is_global_zero=True, datamodule=datamodule, world_size=1, global_step=3
    )
    callback = PRCurves(max_classes=1)
    callback.on_test_batch_end(trainer, None, probabilities, (None, labels), 0)  # type: ignore[arg-type]
    callback.show(trainer, "test")
    logger.finalize("success")
    return EventAccumulator(str(folder)).Reload()


def test_several_labels_come_with_probabilities(tmp_path: Path) -> None:
    events = show(tmp_path, torch.tensor([[0.9, 0.2], [0.4, 0.8]]))
    assert events.Tags()["tensors"] == ["test/pr_flies"]
    assert curve(events, "test/pr_flies")[:4, 63].tolist() == [1, 0, 0, 1]


def test_outputs_that_are_no_numbers_have_none(tmp_path: Path) -> None:
    assert show(tmp_path, torch.tensor([[0.9, 0.2], [float("nan"), 0.8]])).Tags()["tensors"] == []
