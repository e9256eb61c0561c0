from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from callbacks import confusion_matrix
from callbacks.confusion_matrix import SHADE, SHEET, ConfusionMatrix, count_pairs, draw_confusion


def test_counts_pairs_like_a_loop():
    generator = torch.Generator().manual_seed(0)
    labels, predicted = torch.randint(0, 4, (2, 100), generator=generator)
    expected = torch.zeros(4, 4, dtype=torch.long)
    for label, guess in zip(labels, predicted, strict=True):
        expected[label, guess] += 1
    assert torch.equal(count_pairs(labels, predicted, 4), expected)


def test_a_cell_is_as_dark_as_its_share_of_the_row():
    counts = torch.tensor([[8, 0], [5, 5]])
    names = ["cat", "dog"]
    pixels = np.asarray(draw_confusion(counts, names))
    left, top = pixels.shape[1] - SHEET, pixels.shape[0] - SHEET

    def corner(row: int, column: int) -> tuple[int, ...]:
        return tuple(pixels[top + row * SHEET // 2 + 2, left + column * SHEET // 2 + 2].tolist())

    half = tuple(round(255 - (255 - colour) / 2) for colour in SHADE)
    assert (corner(0, 0), corner(0, 1), corner(1, 0)) == (SHADE, (255, 255, 255), half)


def test_classes_that_do_not_occur_and_many_classes_are_drawn():
    assert np.asarray(draw_confusion(torch.zeros(2, 2, dtype=torch.long), ["a", "b"])).max() == 255
    pixels = np.asarray(draw_confusion(torch.eye(200, dtype=torch.long), [str(i) for i in range(200)]))
    assert pixels.shape == (2048, 2048, 3)
    assert tuple(pixels[0, 0]) == SHADE


def test_shows_each_split_on_its_own(monkeypatch):
    shown: list[tuple[str, list[list[int]]]] = []
    monkeypatch.setattr(confusion_matrix, "picture_loggers", lambda trainer: ["logger"])
    monkeypatch.setattr(confusion_matrix, "draw_confusion", lambda counts, classes: counts.tolist())
    monkeypatch.setattr(confusion_matrix, "add_image", lambda logger, tag, image, step: shown.append((tag, image)))
    trainer: Any = SimpleNamespace(
        strategy=SimpleNamespace(reduce=lambda tensor, reduce_op: tensor * 2 if reduce_op == "sum" else None),
        datamodule=SimpleNamespace(classes=["a", "b"]),
        global_step=3,
        current_epoch=0,
        max_epochs=1,
        check_val_every_n_epoch=1,
        should_stop=False,
    )
    callback, scores = ConfusionMatrix(), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    module: Any = None
    callback.on_validation_start(trainer, module)
    callback.on_validation_epoch_end(trainer, module)  # of no batches
    callback.on_train_epoch_end(trainer, module)
    callback.on_validation_start(trainer, module)
    callback.on_validation_batch_end(trainer, module, scores, (None, torch.tensor([0, 0])), 0)
    callback.on_validation_batch_end(trainer, module, scores, (None, torch.tensor([0, 1])), 1)
    callback.on_validation_epoch_end(trainer, module)
    callback.on_train_epoch_end(trainer, module)
    callback.on_test_start(trainer, module)
    callback.on_test_batch_end(trainer, module, scores[:1], (None, torch.tensor([1])), 0)
    callback.on_test_epoch_end(trainer, module)
    assert shown == [("val/confusion", [[4, 2], [0, 2]]), ("test/confusion", [[0, 0], [2, 0]])]


def test_drawn_as_a_picture():
    assert isinstance(draw_confusion(torch.eye(3, dtype=torch.long), ["a", "b", "c"]), Image.Image)
