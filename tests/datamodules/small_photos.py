"""Folders of small photos of one colour each, and ways to change them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from datamodules.image_folder import ImageFolder

SIDE = 24
COLOURS = {"ants": (200, 40, 40), "bees": (40, 40, 200)}
MAX_PIXELS = 1_000_000


def photo(colour: tuple[int, int, int] = (10, 120, 240)) -> Image.Image:
    """One colour all over, so that JPEG's compression takes nothing of it."""
    return Image.new("RGB", (SIDE, SIDE), colour)


def folder(root: Path) -> ImageFolder:
    as_it_is: dict[str, Any] = {
        "train_transform": torch.clone,
        "eval_transform": torch.clone,
        "mean": None,
        "std": None,
    }
    sizes = {
        "val_fraction": 0.5,
        "classes": None,
        "test_fraction": 0,
        "num_folds": None,
        "fold": 0,
        "balance": "none",
        "image_size": SIDE,
        "batch_size": 2,
        "eval_batch_size": 3,
        "num_workers": 0,
        "worker_timeout": 0,
    }
    datamodule = ImageFolder(
        data_dir=str(root),
        num_classes=2,
        max_pixels=MAX_PIXELS,
        keep_decoded=0,
        index_dir=None,
        seed=0,
        seed_split=0,
        **as_it_is,
        **sizes,
    )
    datamodule.setup("fit")
    return datamodule


def replaced(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(content)


def moved(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)
