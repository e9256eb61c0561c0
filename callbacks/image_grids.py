"""Pictures of what goes into the network and what comes out."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import torch
from annotated_types import Ge
from PIL import Image, ImageDraw, ImageFont
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.evaluation import PredictionCallback, indices_in_split
from callbacks.loggers import add_image, picture_loggers

TILE = 160  # pixels a side
COLUMNS = 4  # as many as TensorBoard shows at a size that can be read
CAPTION = 22  # pixels under a tile
RIGHT, WRONG, PLAIN = (24, 120, 60), (176, 36, 36), (70, 70, 70)


class ImageGrids(PredictionCallback):
    """The first training batch as the network sees it; after validations and a test photos with predicted classes.

    The photos shown are spread evenly over the split, the same ones each time.
    """

    follows_chunks = True

    def __init__(self, *, max_images: Annotated[int, Ge(1)]) -> None:
        super().__init__()
        self.max_images = max_images
        self._sheets: dict[str, Image.Image] = {}  # of each split, the photos that are shown

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step or not (loggers := picture_loggers(trainer)):
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        images, labels = datamodule.first_training_batch(self.max_images)
        captions = [(datamodule.classes[label], PLAIN) for label in labels.tolist()]
        for logger in loggers:
            add_image(logger, "first_batch", draw_captions(draw_photos(images), captions), 0)

    def show(self, trainer: Trainer, split: str) -> None:
        probabilities = self.probabilities
        if not (loggers := picture_loggers(trainer)):
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        shown = spread(len(probabilities), self.max_images)
        indices = indices_in_split(trainer, shown)
        captions = []
        for row, label in zip(probabilities[shown], datamodule.labels(split, indices), strict=True):
            captions.append((describe(row, label, datamodule.classes), RIGHT if int(row.argmax()) == label else WRONG))
        if split not in self._sheets:
            self._sheets[split] = draw_photos(datamodule.images(split, indices))
        grid = draw_captions(self._sheets[split], captions)
        for logger in loggers:
            add_image(logger, f"{split}/predictions", grid, trainer.global_step)


def describe(probabilities: Tensor, label: int, classes: Sequence[str]) -> str:
    """The most probable of the classes, its probability (K,), and the true class where that is another."""
    predicted = int(probabilities.argmax())
    text = f"{classes[predicted]} {probabilities[predicted]:.0%}"
    return text if predicted == label else f"{text}, is {classes[label]}"


def spread(size: int, count: int) -> list[int]:
    """At most `count` positions, evenly over range(size)."""
    return [i * size // count for i in range(count)] if size > count else list(range(size))


@cache
def font_of_size(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own; reading it takes longer than writing a line with it."""
    return ImageFont.load_default(points)


def draw_photos(images: Tensor) -> Image.Image:
    """Images (N, 3, H, W) in [0, 1] in rows of at most COLUMNS, each over room for a caption."""
    columns = min(len(images), COLUMNS)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + CAPTION)), "white")
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for position, image in enumerate(pixels):
        tile = Image.fromarray(image).resize((TILE, TILE), Image.Resampling.BILINEAR)
        sheet.paste(tile, (position % COLUMNS * TILE, position // COLUMNS * (TILE + CAPTION)))
    return sheet


def draw_captions(photos: Image.Image, captions: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """The sheet of photos, each with its text on a colour under it."""
    sheet = photos.copy()
    draw = ImageDraw.Draw(sheet)
    font = font_of_size(14)
    for position, (text, colour) in enumerate(captions):
        x, y = position % COLUMNS * TILE, position // COLUMNS * (TILE + CAPTION) + TILE
        draw.rectangle((x, y, x + TILE - 1, y + CAPTION - 1), fill=colour)
        draw.text((x + 4, y + 2), text, fill="white", font=font)
    return sheet
