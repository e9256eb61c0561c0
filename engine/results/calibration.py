"""Calibrated probabilities: temperature scaling and its measure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from engine.errors import UserError
from engine.files import replace_text
from engine.results.outputs import PhotoRow
from engine.run.outcome import read_json

FILE = "calibration.json"
MAX_BYTES = 1 << 16
BINS = 15
FEWEST = 10  # photos
LOWEST, HIGHEST = 0.05, 20.0
SIGNIFICANT = 3.841  # quantile 0.95 of the chi-square distribution with one degree of freedom


class Calibration(BaseModel):
    """calibration.json: probabilities are the softmax of the logits divided by `temperature`.

    It was fitted on `photos` photos of `split` with `checkpoint`. ece_before and ece_after are the expected calibration
    errors on these photos; for `ece_held_out`, the temperature of each half was fitted on the other half.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    temperature: float = Field(ge=LOWEST, le=HIGHEST, allow_inf_nan=False)
    checkpoint: str
    epoch: int
    split: str
    photos: int = Field(ge=1)
    ece_before: float
    ece_after: float
    ece_held_out: float


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean gap between confidence and accuracy over BINS bins of confidence (Guo et al. 2017, arXiv 1706.04599).

    probabilities: (N, K); labels: (N,).
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == b].sum() - right[bins == b].sum()) for b in np.unique(bins)]
    return float(sum(gaps) / len(labels))


def tempered(probabilities: Any, temperature: float) -> Any:
    """Divides the logarithms of probabilities (N, K), an array or tensor, by the temperature, and normalizes."""
    powers = (probabilities + 1e-12) ** (1 / temperature)
    sums = powers.sum(1)
    return powers / (sums[:, None] if isinstance(powers, Tensor) else sums[:, np.newaxis])


def best_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the lowest negative log-likelihood (Guo et al. 2017, section 4.2), or 1.

    Departure: it is 1 unless the likelihood-ratio test (Wilks 1938) rejects 1 at the 5 % level. What is fitted to few
    photos of a network whose probabilities are right is noise, and would make them worse.
    """
    from scipy.optimize import minimize_scalar  # only here: it takes a tenth of a second, and each run loads this file

    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return float(-np.log(tempered(probabilities, float(np.exp(log_temperature)))[rows, labels] + 1e-12).sum())

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    is_noise = 2 * (loss(0.0) - found.fun) < SIGNIFICANT
    return 1.0 if is_noise else float(np.clip(np.exp(found.x), LOWEST, HIGHEST))


def calibrate(rows: Sequence[PhotoRow], *, checkpoint: str, epoch: int, split: str) -> Calibration:
    """Fits a temperature and measures its effect. UserError if there are too few photos."""
    if len(rows) < FEWEST:
        raise UserError(
            f"calibrate=true: {len(rows)} labelled photos are too few to fit a temperature; {FEWEST} are needed."
        )
    probabilities = np.array([row.probabilities for row in rows], dtype=float)
    labels = np.array([row.label for row in rows])
    order = np.random.default_rng(0).permutation(len(rows))
    held_out = np.empty_like(probabilities)
    for fit, test in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        held_out[test] = tempered(probabilities[test], best_temperature(probabilities[fit], labels[fit]))
    temperature = best_temperature(probabilities, labels)
    return Calibration(
        temperature=temperature,
        checkpoint=checkpoint,
        epoch=epoch,
        split=split,
        photos=len(rows),
        ece_before=expected_calibration_error(probabilities, labels),
        ece_after=expected_calibration_error(tempered(probabilities, temperature), labels),
        ece_held_out=expected_calibration_error(held_out, labels),
    )


def keep(calibration: Calibration, directory: Path) -> None:
    replace_text(directory / FILE, json.dumps(calibration.model_dump(), indent=2) + "\n")


def temperature_of(directory: Path, checkpoint: str, epoch: int) -> float:
    """The temperature in calibration.json if it is for this checkpoint; else 1. UserError for an invalid file."""
    if not (directory / FILE).is_file():
        return 1.0
    content = Calibration.model_validate(read_json(directory / FILE, MAX_BYTES, Calibration))
    return content.temperature if (content.checkpoint, content.epoch) == (checkpoint, epoch) else 1.0
