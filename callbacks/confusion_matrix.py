"""The confusion matrix as an image."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw
from pytorch_lightning import Trainer
from torch import Tensor

from callbacks.evaluation import EvaluationCallback, one_label_each
from callbacks.loggers import add_image, picture_loggers
from engine.pages.lettering import Font, fitted

CELL, SHEET = 64, 280  # minimum side of a cell and of the matrix, in pixels
MAX_NAMED = 32  # with more classes there is no room for text
MAX_SIDE = 2048  # pixels, without text
LETTERS, MAX_MARGIN = 22, 220  # points of the letters, and pixels that a class's name may take
TITLE = 32  # pixels for the names of the axes
SHADE = (24, 70, 140)  # the color for 100 % of a row


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
    names = [fitted(name, LETTERS, MAX_MARGIN) for name in classes]
    cell = max(CELL, SHEET // len(classes))
    widest = round(max(font.getlength(text) for text, font in names)) + 8
    is_upright = widest > cell
    left, top = TITLE + widest, TITLE + (widest if is_upright else LETTERS + 8)
    side = len(classes) * cell
    sheet = Image.new("RGB", (left + side, top + side), "white")
    sheet.paste(shaded.resize((side, side), Image.Resampling.NEAREST), (left, top))
    _write(sheet, fitted("predicted", LETTERS, side), (left + side // 2, TITLE // 2), False)
    _write(sheet, fitted("true", LETTERS, side), (TITLE // 2, top + side // 2), True)
    for i, name in enumerate(names):
        middle = i * cell + cell // 2
        _write(sheet, name, (left + middle, (TITLE + top) // 2), is_upright)
        _write(sheet, name, ((TITLE + left) // 2, top + middle), False)
        for j, count in enumerate(counts[i].tolist()):
            if count:
                ink = "white" if shares[i, j] > 0.5 else "black"
                for text, shift in ((f"{count}", -0.2), (f"{shares[i, j]:.0%}", 0.2)):
                    place = (left + j * cell + cell // 2, top + middle + round(shift * min(cell, 100)))
                    _write(sheet, fitted(text, LETTERS, cell), place, False, ink)
    return sheet


def _write(
    sheet: Image.Image, lettered: tuple[str, Font], middle: tuple[int, int], is_upright: bool, ink: str = "black"
) -> None:
    """Writes a text around a point; if upright, it reads from bottom to top."""
    text, font = lettered
    if not is_upright:
        ImageDraw.Draw(sheet).text(middle, text, fill=ink, font=font, anchor="mm")
        return
    width, height = round(font.getlength(text)) + 4, 2 * LETTERS
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).text((width // 2, LETTERS), text, fill=255, font=font, anchor="mm")
    sheet.paste(ink, (middle[0] - LETTERS, middle[1] - width // 2), mask.rotate(90, expand=True))
