import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import UserError
from engine.results.calibration import (
    FILE,
    best_temperature,
    calibrate,
    expected_calibration_error,
    keep,
    temperature_of,
    tempered,
)
from engine.results.outputs import PhotoRow


def drawn(count: int, *, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of 3 classes, whose logits are `sharpness` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(count, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row) for row in true])
    sharp = np.exp(sharpness * logits)
    return sharp / sharp.sum(1, keepdims=True), labels


def rows(probabilities: np.ndarray, labels: np.ndarray) -> list[PhotoRow]:
    return [PhotoRow(Path("x"), int(label), row.tolist()) for row, label in zip(probabilities, labels, strict=True)]


def test_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    labels = np.array([0, 1, 0, 1])
    # Bins of 1/15: two of 0.9 (one right), one of 0.6 (right), one of 0.8 (right).
    assert expected_calibration_error(probabilities, labels) == pytest.approx((abs(1.8 - 1) + 0.4 + 0.2) / 4)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_the_sharpness(sharpness: float) -> None:
    probabilities, labels = drawn(20_000, sharpness=sharpness)
    assert best_temperature(probabilities, labels) == pytest.approx(sharpness, rel=0.05)
    found = calibrate(rows(probabilities, labels), checkpoint="best", epoch=3, split="val")
    assert found.ece_held_out < 0.02
    if sharpness != 1:
        assert found.ece_before > 5 * found.ece_held_out


def test_on_held_out_photos_it_does_no_harm() -> None:
    """153 photos with probabilities that are right already, many times over."""
    changes = []
    for seed in range(30):
        found = calibrate(rows(*drawn(153, sharpness=1, seed=seed)), checkpoint="best", epoch=3, split="val")
        changes.append(found.ece_held_out - found.ece_before)
    assert abs(np.mean(changes)) < 2 * np.std(changes) / 30**0.5 + 0.005
    fitted = [best_temperature(*drawn(153, sharpness=1, seed=seed)) for seed in range(100)]
    assert fitted.count(1) >= 90, "1 is rejected in about 5 of 100 cases, by chance"


def test_tempered_is_the_softmax_of_scaled_logits() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]])
    expected = (logits / 1.7).softmax(1)
    torch.testing.assert_close(tempered(logits.softmax(1), 1.7), expected, atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(tempered(logits.softmax(1).numpy(), 1.7), expected.numpy(), atol=1e-5)


def test_it_is_kept_for_its_checkpoint(tmp_path: Path) -> None:
    assert temperature_of(tmp_path, "best", 3) == 1
    found = calibrate(rows(*drawn(60, sharpness=2)), checkpoint="best", epoch=3, split="val")
    keep(found, tmp_path)
    assert temperature_of(tmp_path, "best", 3) == found.temperature
    assert temperature_of(tmp_path, "last", 3) == 1
    assert temperature_of(tmp_path, "best", 4) == 1, "of a training that was continued"


@pytest.mark.parametrize("change", [{"temperature": 0}, {"temperature": "x"}, {"temperature": 1e9}, {"more": 1}])
def test_a_file_of_another_form_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    keep(calibrate(rows(*drawn(60, sharpness=2)), checkpoint="best", epoch=3, split="val"), tmp_path)
    content = json.loads((tmp_path / FILE).read_text()) | change
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match="was not written by this project, or was modified"):
        temperature_of(tmp_path, "best", 3)


def test_too_few_photos() -> None:
    with pytest.raises(UserError, match="9 labelled photos are too few"):
        calibrate(rows(*drawn(9, sharpness=1)), checkpoint="best", epoch=3, split="val")
