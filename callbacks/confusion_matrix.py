"""The confusion matrix as an image."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw
from pytorch_lightning import Trainer
from torch import Tensor

from callbacks.evaluation import EvaluationCallback, one_label_each
from callbacks.loggers import add_image, picture_loggers
from engine.results.lettering import fitted

CELL, SHEET = 64, 280  # minimum side of a cell and of the matrix, in pixels
MAX_NAMED = 32  # with more classes there is no room for text
MAX_SIDE = 2048  # pixels, without text
LETTERS, MAX_MARGIN = 16, 320  # points of the letters, and pixels that a class's name may take
SHADE = (24, 70, 140)  # the colour for 100 % of a row


class ConfusionMatrix(EvaluationCallback):
    """Logs the images `val/confusion` after validations and `test/confusion` after a test.

    Evaluation steps must return scores (N, num_classes), and batches must contain inputs and labels (N,).
    """

    needs = ("classes",)
    keeps = ("_counts",)

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
    rows = [fitted(f"is {name}", LETTERS, MAX_MARGIN) for name in classes]
    columns = [fitted(name, LETTERS, MAX_MARGIN) for name in classes]
    cell = max(CELL, SHEET // len(classes))
    left = round(max(font.getlength(text) for text, font in rows)) + 12
    widest = round(max(font.getlength(text) for text, font in columns))
    is_upright = widest > cell - 8
    top = widest + 12 if is_upright else 28
    side = len(classes) * cell
    sheet = Image.new("RGB", (left + side, top + side), "white")
    sheet.paste(shaded.resize((side, side), Image.Resampling.NEAREST), (left, top))
    draw = ImageDraw.Draw(sheet)
    _, digits = fitted("0", LETTERS, cell)
    for i, ((row, row_font), (column, column_font)) in enumerate(zip(rows, columns, strict=True)):
        middle = i * cell + cell // 2
        draw.text((left - 6, top + middle), row, fill="black", font=row_font, anchor="rm")
        if is_upright:
            name = Image.new("L", (widest + 4, 28), 0)
            ImageDraw.Draw(name).text((2, 14), column, fill=255, font=column_font, anchor="lm")
            sheet.paste("black", (left + middle - 14, 4), name.rotate(90, expand=True))
        else:
            draw.text((left + middle, top // 2), column, fill="black", font=column_font, anchor="mm")
        for j, count in enumerate(counts[i].tolist()):
            place = (left + j * cell + cell // 2, top + middle)
            draw.text(place, str(count), fill="white" if shares[i, j] > 0.5 else "black", font=digits, anchor="mm")
    return sheet
