"""TensorBoard's IMAGES tab: what goes into the network and what comes out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

TILE = 128  # pixels a side
CAPTION = 18  # pixels under it
RIGHT, WRONG, PLAIN = (24, 120, 60), (176, 36, 36), (70, 70, 70)


class ImageGrids(Callback):
    """The first training batch as the network sees it, and after validation photos with predicted and true class.

    The photos shown are spread evenly over the validation set, the same ones each time.
    """

    def __init__(self, *, max_images: int) -> None:
        self.max_images = max_images
        self._predictions: list[Tensor] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch or not (loggers := tensorboard_loggers(trainer)):
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        images, labels = datamodule.first_training_batch(self.max_images)
        captions = [(datamodule.classes[label], PLAIN) for label in labels.tolist()]
        for logger in loggers:
            logger.experiment.add_image("first_batch", draw_grid(images, captions), 0, dataformats="HWC")

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._predictions.append(outputs.float().softmax(dim=1).cpu())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        probabilities = torch.cat(self._predictions)
        self._predictions.clear()
        if not (loggers := tensorboard_loggers(trainer)):
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        shown = spread(len(probabilities), self.max_images)
        # Each of several processes validates every world_size-th photo; the first one draws its own.
        indices = [position * trainer.world_size for position in shown]
        captions = []
        for row, label in zip(probabilities[shown], datamodule.labels("val", indices), strict=True):
            predicted = int(row.argmax())
            text = f"{datamodule.classes[predicted]} {row[predicted]:.0%}"
            if predicted != label:
                text += f", is {datamodule.classes[label]}"
            captions.append((text, RIGHT if predicted == label else WRONG))
        grid = draw_grid(datamodule.images("val", indices), captions)
        for logger in loggers:
            logger.experiment.add_image("predictions", grid, trainer.global_step, dataformats="HWC")


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """Those that this process writes: none but in the first."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)] if trainer.is_global_zero else []


def spread(size: int, count: int) -> list[int]:
    """At most `count` positions, evenly over range(size)."""
    return [i * size // count for i in range(count)] if size > count else list(range(size))


def draw_grid(images: Tensor, captions: Sequence[tuple[str, tuple[int, int, int]]]) -> NDArray[np.uint8]:
    """Images (N, 3, H, W) in [0, 1] in rows of at most eight, each over its caption on a colour: (H', W', 3) uint8."""
    columns = min(len(images), 8)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for position, (image, (text, colour)) in enumerate(zip(pixels, captions, strict=True)):
        x, y = position % columns * TILE, position // columns * (TILE + CAPTION)
        sheet.paste(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.BILINEAR), (x, y))
        draw.rectangle((x, y + TILE, x + TILE - 1, y + TILE + CAPTION - 1), fill=colour)
        draw.text((x + 4, y + TILE + 2), text, fill="white", font=font)
    return np.asarray(sheet)
