"""The confusion matrix as an image."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw
from pytorch_lightning import Trainer
from torch import Tensor

from callbacks.evaluation import EvaluationCallback, one_label_each
from callbacks.loggers import add_image, picture_loggers
from engine.results.contact_sheet import font_of_size

CELL, SHEET = 64, 280  # minimum side of a cell and of the matrix, in pixels
MAX_NAMED = 32  # with more classes there is no room for text
MAX_SIDE = 2048  # pixels, without text
SHADE = (24, 70, 140)  # the colour for 100 % of a row


class ConfusionMatrix(EvaluationCallback):
    """Logs the images `val/confusion` after validations and `test/confusion` after a test.

    Evaluation steps must return scores (N, num_classes), and batches must contain inputs and labels (N,).
    """

    needs = ("classes",)

    def __init__(self) -> None:
        self._counts: Tensor | None = None

    def takes(self, scores: Any, labels: Any) -> bool:
        return one_label_each(scores, labels)

    def collect(self, scores: Tensor, labels: Tensor) -> None:
        counts = count_pairs(labels, scores.argmax(1), scores.shape[1])
        self._counts = counts if self._counts is None else self._counts + counts

    def forget(self) -> None:
        self._counts = None

    def show(self, trainer: Trainer, split: str) -> None:
        if self._counts is None:
            return
        counts = trainer.strategy.reduce(self._counts, reduce_op="sum")
        classes = trainer.datamodule.classes  # type: ignore[attr-defined]
        if not (loggers := picture_loggers(trainer)):
            return
        picture = draw_confusion(counts.cpu(), classes)
        for logger in loggers:
            add_image(logger, f"{split}/confusion", picture, trainer.global_step)


def count_pairs(labels: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """The confusion matrix (num_classes, num_classes) int64: rows are true classes, columns predicted ones."""
    return torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(num_classes, num_classes)


def draw_confusion(counts: Tensor, classes: Sequence[str]) -> Image.Image:
    """Draws counts (K, K), true classes as rows and predicted ones as columns, shaded by their share of the row."""
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    colours = 255 - shares[..., None] * (255 - torch.tensor(SHADE))
    shaded = Image.fromarray(colours.round().to(torch.uint8).numpy())
    if len(classes) > MAX_NAMED:
        side = max(len(classes), MAX_SIDE)
        return shaded.resize((side, side), Image.Resampling.NEAREST)
    font = font_of_size(16)
    left, top = int(max(font.getlength(f"is {name}") for name in classes)) + 12, 28
    cell = max(CELL, SHEET // len(classes))
    side = len(classes) * cell
    sheet = Image.new("RGB", (left + side, top + side), "white")
    sheet.paste(shaded.resize((side, side), Image.Resampling.NEAREST), (left, top))
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(classes):
        middle = i * cell + cell // 2
        draw.text((left - 6, top + middle), f"is {name}", fill="black", font=font, anchor="rm")
        draw.text((left + middle, top // 2), name, fill="black", font=font, anchor="mm")
        for j, count in enumerate(counts[i].tolist()):
            place = (left + j * cell + cell // 2, top + middle)
            draw.text(place, str(count), fill="white" if shares[i, j] > 0.5 else "black", font=font, anchor="mm")
    return sheet
