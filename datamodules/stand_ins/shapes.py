"""Generated 32×32 images of ten shapes in random poses, sizes and colors, the stand-in for CIFAR-10."""

from collections.abc import Callable

import numpy as np

Field = np.ndarray
"""Values at the pixels of N images, (N, 32, 32) or broadcastable to it."""

SIDE = 32


def _box(x: Field, y: Field, width: float, height: float) -> Field:
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _polygon(x: Field, y: Field, corners: int, inner: float) -> Field:
    """A regular star with outer corners at radius 1 and inner ones at `inner` (cos(π / corners) gives a polygon)."""
    sector = 2 * np.pi / corners
    angle = np.abs((np.arctan2(x, -y) + sector / 2) % sector - sector / 2)
    radius = np.hypot(x, y)
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    # The edge from the outer corner (1, 0) to the inner one, and the distance to its line.
    ex, ey = inner * np.cos(sector / 2) - 1, inner * np.sin(sector / 2)
    return (ey * (px - 1) - ex * py) / np.hypot(ex, ey)


# Approximate signed distances to the outlines of the shapes, negative inside; each shape has a radius of about 1.
_OUTLINES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": lambda x, y: np.hypot(x, y) - 0.8,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.7) - 0.2,
    "square": lambda x, y: _box(x, y, 0.7, 0.7),
    "frame": lambda x, y: np.abs(_box(x, y, 0.65, 0.65)) - 0.16,
    "triangle": lambda x, y: _polygon(x, y, 3, 0.5),
    "star": lambda x, y: _polygon(x, y, 5, 0.4),
    "cross": lambda x, y: np.minimum(_box(x, y, 0.9, 0.25), _box(x, y, 0.25, 0.9)),
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 0.85, 0.7 - np.hypot(x - 0.45, y)),
    "bars": lambda x, y: np.maximum(np.abs((x + 0.3) % 0.6 - 0.3) - 0.13, _box(x, y, 0.8, 0.8)),
    "dots": lambda x, y: np.hypot(np.abs(x) - 0.5, np.abs(y) - 0.5) - 0.33,
}

SHAPES = tuple(_OUTLINES)
"""Class names, in the order of their labels."""


def draw_shapes(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images (N, 3, 32, 32) uint8 of the shapes with labels (N,); everything else is random."""
    pictures = len(labels)
    x, y = _poses(pictures, rng)
    outline = np.empty((pictures, SIDE, SIDE))
    for label, shape in enumerate(_OUTLINES.values()):
        chosen = labels == label
        outline[chosen] = shape(x[chosen], y[chosen])
    # The shape's edge fades from opaque to transparent over about one pixel, whose width is 2 / 32.
    opacity = rng.uniform(0.7, 1.0, (pictures, 1, 1)) * np.clip(0.5 - 8 * outline, 0, 1)
    ground, figure = _colours(pictures, rng)
    image = ground * (1 - opacity[:, None]) + figure * opacity[:, None]
    image += rng.normal(0, 1, image.shape) * rng.uniform(0.01, 0.08, (pictures, 1, 1, 1))
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def _poses(pictures: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """Pixel coordinates x and y, (N, 32, 32) each, in a randomly shifted, rotated, scaled and stretched frame."""
    row, column = np.mgrid[0:SIDE, 0:SIDE] * (2 / (SIDE - 1)) - 1
    shift_x, shift_y = rng.uniform(-0.25, 0.25, (2, pictures, 1, 1))
    turn = rng.uniform(-0.35, 0.35, (pictures, 1, 1))
    scale, stretch = rng.uniform(0.5, 0.9, (pictures, 1, 1)), rng.uniform(0.85, 1.18, (pictures, 1, 1))
    x, y = column - shift_x, row - shift_y
    return (
        (np.cos(turn) * x + np.sin(turn) * y) / (scale * stretch),
        (np.cos(turn) * y - np.sin(turn) * x) / (scale / stretch),
    )


def _colours(pictures: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """Colors (N, 3, 32, 32) of the background, a gradient with clouds, and of the shape."""
    fade = rng.random((pictures, 1, 1, 1)) * np.linspace(0, 1, SIDE)[:, None]
    ends = rng.uniform(0, 1, (2, pictures, 3, 1, 1))
    ends[1] = ends[0] + 0.5 * (ends[1] - ends[0])
    clouds = np.kron(rng.normal(0, 0.08, (pictures, 1, 4, 4)), np.ones((8, 8)))
    ground = ends[0] * (1 - fade) + ends[1] * fade + clouds
    # The shape's color differs from the background's mean by 0.45 to 0.9, toward the farther end of each channel.
    mean = ends.mean(axis=0)
    away = np.where(mean < 0.5, 1.0, -1.0) * rng.choice([1, 0.2], (pictures, 3, 1, 1), p=[0.75, 0.25])
    figure = mean + away * rng.uniform(0.45, 0.9, (pictures, 1, 1, 1)) * np.ones((SIDE, SIDE))
    return ground, figure
