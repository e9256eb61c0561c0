"""Finds photos that occur more than once in a data set."""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from engine.photos.photo_index import PhotoIndex

ALIKE = 0.97
"""The minimum correlation of two photos' 16 × 16 gray pixels at which one counts as a copy of the other.

Among 397 photos of ants and bees, no two reach 0.84; copies, scaled by 0.25 to 2 and saved as JPEG at quality 60 to 95,
stay above 0.98.
"""

FLAT = 4.0
"""Standard deviation of gray levels (0 to 255) below which a photo is too uniform to be compared."""

ROWS = 2048  # photos compared with all others at a time


def identical(photos: PhotoIndex) -> list[list[int]]:
    """Groups of positions of files with the same bytes, two or more each. Reads only files of equal size."""
    _, kinds, counts = np.unique(photos.sizes, return_inverse=True, return_counts=True)
    candidates = np.flatnonzero(counts[kinds] > 1)
    by_content: dict[bytes, list[int]] = defaultdict(list)
    for position, digest in zip(candidates.tolist(), photos.digests(candidates), strict=True):
        by_content[digest].append(position)
    return sorted(positions for positions in by_content.values() if len(positions) > 1)


def alike(thumbnails: Tensor) -> list[tuple[int, int]]:
    """Pairs of positions (first < second) of photos that look the same except for size and compression.

    thumbnails: (N, 3, 64, 64) uint8, the photos' center crops.
    """
    grey = torch.nn.functional.avg_pool2d(thumbnails.float().mean(1, keepdim=True), 4).flatten(1)
    is_flat = grey.std(1) < FLAT
    grey = torch.nn.functional.normalize(grey - grey.mean(1, keepdim=True), dim=1)
    pairs = []
    for start in range(0, len(grey), ROWS):
        rows = slice(start, start + ROWS)
        found = grey[rows] @ grey.T >= ALIKE
        for first, second in (found.nonzero() + torch.tensor([start, 0])).tolist():
            if first < second and not (is_flat[first] or is_flat[second]):
                pairs.append((first, second))
    return pairs
