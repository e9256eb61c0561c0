import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from callbacks import image_grids as module
from callbacks.image_grids import (
    COLUMNS,
    PLAIN,
    RIGHT,
    SIZE,
    WRONG,
    ImageGrids,
    draw_grid,
    spread,
)
from engine.results.contact_sheet import TILE, line_height, scaled

CAPTION = line_height(SIZE)


@pytest.mark.parametrize(
    ("size", "count", "expected"), [(3, 5, [0, 1, 2]), (5, 5, [0, 1, 2, 3, 4]), (10, 4, [0, 2, 5, 7])]
)
def test_spread(size: int, count: int, expected: list[int]) -> None:
    assert spread(size, count) == expected


def test_grid_has_rows_of_pictures_over_captions() -> None:
    count = COLUMNS + 2
    colours = torch.linspace(0, 1, count)
    images = colours.view(count, 1, 1, 1).expand(count, 3, 4, 4)
    captions = [("", RIGHT if n % 2 else WRONG) for n in range(count)]
    sheet = np.asarray(draw_grid(list(map(scaled, images)), captions))
    assert sheet.shape == (2 * (TILE + CAPTION), COLUMNS * TILE, 3)
    for n in range(count):
        row, column = divmod(n, COLUMNS)
        top, left = row * (TILE + CAPTION), column * TILE
        assert (sheet[top : top + TILE, left : left + TILE] == round(float(colours[n]) * 255)).all()
        assert tuple(sheet[top + TILE + CAPTION - 1, left + TILE - 1]) == captions[n][1]
    assert (sheet[-1, 2 * TILE :] == 255).all(), "nothing where there is no picture"


def test_caption_is_written_and_values_out_of_range_are_cut() -> None:
    images = torch.full((1, 3, 4, 4), 1.5)
    blank, written = (np.asarray(draw_grid(list(map(scaled, images)), [(text, PLAIN)])) for text in ("", "bees 97%"))
    assert (blank[:TILE] == 255).all()
    assert (blank != written).any()


class DataModule:
    """Ten photos whose brightness tells which they are; classes take turns."""

    classes = ("ants", "bees")

    def labels(self, split: str, indices: list[int]) -> list[int]:
        return [index % 2 for index in indices]

    def images(self, split: str, indices: list[int]) -> Tensor:
        return torch.tensor(indices).view(-1, 1, 1, 1).expand(-1, 3, 2, 2) / 10


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int], list[tuple[str, Any]]]]:
    """Instead of pictures: the tag, the numbers of the photos, and the captions."""
    drawn: list[tuple[str, list[int], list[tuple[str, Any]]]] = []
    monkeypatch.setattr(module, "picture_loggers", lambda trainer: ["logger"])
    monkeypatch.setattr(module, "scaled", lambda image: round(float(image[0, 0, 0]) * 10))
    monkeypatch.setattr(module, "draw_grid", lambda photos, captions: (photos, captions))
    monkeypatch.setattr(module, "add_image", lambda logger, tag, image, step: drawn.append((tag, *image)))
    return drawn


def validate(callback: ImageGrids, logits: Tensor, split: str = "validation", world_size: int = 1) -> None:
    last_epoch = {"current_epoch": 0, "max_epochs": 1, "check_val_every_n_epoch": 1, "should_stop": False}
    trainer: Any = SimpleNamespace(datamodule=DataModule(), world_size=world_size, global_step=1, **last_epoch)
    softmax: Any = SimpleNamespace(probabilities=lambda logits: logits.softmax(1))
    getattr(callback, f"on_{split}_start")(trainer, softmax)
    for number, batch in enumerate(logits.split(4)):
        labels = torch.zeros(len(batch), dtype=torch.long)
        getattr(callback, f"on_{split}_batch_end")(trainer, softmax, batch, (None, labels), number)
    getattr(callback, f"on_{split}_epoch_end")(trainer, None)
    callback.on_train_epoch_end(trainer, None)


def test_predictions_are_compared_with_the_labels(shown: list[Any]) -> None:
    logits = torch.zeros(4, 2)
    logits[:, 1] = torch.tensor([-2.0, 2.0, 3.0, -1.0])
    validate(ImageGrids(max_images=8), logits)
    expected = [("ants 88%", RIGHT), ("bees 88%", RIGHT), ("bees 95%\nis ants", WRONG), ("ants 73%\nis bees", WRONG)]
    assert shown == [("val/predictions", [0, 1, 2, 3], expected)]


def test_photos_are_spread_over_the_split_and_stay_the_same(shown: list[Any]) -> None:
    callback = ImageGrids(max_images=3)
    for seed in range(2):
        validate(callback, torch.randn(10, 2, generator=torch.Generator().manual_seed(seed)))
    assert [indices for _, indices, _ in shown] == [[0, 3, 6]] * 2


def test_test_split_has_a_grid_of_its_own(shown: list[Any]) -> None:
    callback = ImageGrids(max_images=2)
    validate(callback, torch.zeros(4, 2))
    validate(callback, torch.zeros(10, 2), "test")
    assert [(tag, indices) for tag, indices, _ in shown] == [("val/predictions", [0, 2]), ("test/predictions", [0, 5])]


def test_the_first_of_two_processes_shows_its_own_photos(shown: list[Any]) -> None:
    """It evaluates every second photo, here the ants."""
    logits = torch.tensor([[1.0, 0.0]]).expand(5, 2)
    validate(ImageGrids(max_images=8), logits, world_size=2)
    assert shown[0][1] == [0, 2, 4, 6, 8]
    assert {colour for _, colour in shown[0][2]} == {RIGHT}


def test_what_tensorboard_has(events: EventAccumulator) -> None:
    assert [image.step for image in events.Images("first_batch")] == [0]
    assert [image.step for image in events.Images("val/predictions")] == [4, 8, 12]
    (first,) = events.Images("first_batch")
    assert (first.width, first.height) == (2 * TILE, 2 * (TILE + CAPTION))
    assert Image.open(io.BytesIO(first.encoded_image_string)).size == (first.width, first.height)
    grid = events.Images("val/predictions")[0]
    assert (grid.width, grid.height) == (COLUMNS * TILE, -(-12 // COLUMNS) * (TILE + 2 * CAPTION)), (
        "some are wrong, and say what is true"
    )
