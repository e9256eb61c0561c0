"""Photos with damaged image data: the decoder complains, but returns pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.photos.photo_index import PhotoIndex

UNKNOWN, WHOLE, DAMAGED = 0, 1, 2
"""Conditions of a picture, as far as its decoder notices."""


class HasConditions(Protocol):
    files: Sequence[Path]
    conditions: Tensor  # (N,) uint8


def told_of(damaged: Sequence[Path]) -> str:
    """One sentence about damaged photos and what to do with them."""
    if len(damaged) == 1:
        return f"{damaged[0]} has damaged image data, so some of its pixels are wrong: replace or remove it."
    return (
        f"{len(damaged):,} photos, such as {damaged[0]}, have damaged image data, so some of their pixels are wrong: "
        "replace or remove them (check_data.py lists all)."
    )


def known_damaged(splits: Sequence[HasConditions], index: PhotoIndex) -> list[Path]:
    """The damaged photos of all splits. Conditions are read from, and added to, the index of the same files."""
    places = {file: position for position, file in enumerate(index.files)}  # pooled photos are there twice
    conditions = index.conditions.copy()
    positions = [[places[file] for file in photos.files] for photos in splits]
    for photos, of_split in zip(splits, positions, strict=True):
        found = photos.conditions.numpy()
        conditions[of_split] = np.where(found == UNKNOWN, conditions[of_split], found)
    index.found_conditions(conditions)
    index.save()
    for photos, of_split in zip(splits, positions, strict=True):
        photos.conditions.copy_(torch.from_numpy(conditions[of_split].astype(np.uint8)))
    return [index.files[position] for position in np.flatnonzero(conditions == DAMAGED).tolist()]
