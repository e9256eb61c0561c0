"""Photos whose picture is damaged: their decoder complains, but gives something."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.photos.photo_index import PhotoIndex

UNKNOWN, WHOLE, DAMAGED = 0, 1, 2
"""Conditions of a picture, as far as its decoder notices."""

ADVICE = "damaged amid the picture, so wrong pixels are read: look at it, and replace it or remove it"


class HasConditions(Protocol):
    conditions: Tensor  # (N,) uint8


def told_of(damaged: Sequence[Path]) -> str:
    if len(damaged) == 1:
        return f"{damaged[0]} is {ADVICE}."
    them = ADVICE.replace(" it", " them")
    return f"{len(damaged):,} photos, such as {damaged[0]}, are {them} (check_data.py lists all)."


def known_damaged(splits: Sequence[HasConditions], index: PhotoIndex) -> list[Path]:
    """Damaged photos of all splits, whose files are those of the index; each learns what the other knows."""
    if not splits:
        return []
    found, known = torch.cat([photos.conditions for photos in splits]).numpy(), index.conditions
    conditions = np.where(found == UNKNOWN, known, found)
    index.found_conditions(conditions)
    index.save()
    ends = np.cumsum([len(photos.conditions) for photos in splits])
    for photos, part in zip(splits, np.split(conditions.astype(np.uint8), ends[:-1]), strict=True):
        photos.conditions.copy_(torch.from_numpy(part))
    return [index.files[position] for position in np.flatnonzero(conditions == DAMAGED).tolist()]
