"""Images of the network's inputs and predictions."""

from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import Ge
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.evaluation import PredictionCallback, indices_in_split
from callbacks.loggers import add_image, picture_loggers
from engine.results.contact_sheet import WHITE, Colour, Tile, draw_tiles, scaled

COLUMNS = 3  # as many as stay legible in TensorBoard, which shows images about 350 pixels wide
SIZE = 22  # font size
RIGHT, WRONG, PLAIN = (24, 120, 60), (176, 36, 36), (70, 70, 70)


class ImageGrids(PredictionCallback):
    """Logs the first training batch as the network sees it, and photos with predictions after validations and tests.

    The photos are spread evenly over the split and are the same each time.
    """

    follows_chunks = True
    needs = ("classes", "labels", "images")

    def __init__(self, *, max_images: Annotated[int, Ge(1)]) -> None:
        super().__init__()
        self.max_images = max_images
        self._photos: dict[str, list[Image.Image]] = {}  # the photos shown, by split

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        if (
            trainer.global_step
            or not hasattr(datamodule, "first_training_batch")
            or not (loggers := picture_loggers(trainer))
        ):
            return
        images, labels = datamodule.first_training_batch(self.max_images)
        if labels.ndim != 1 or labels.is_floating_point():
            return
        captions = [(datamodule.classes[label], PLAIN) for label in labels.tolist()]
        for logger in loggers:
            add_image(logger, "first_batch", draw_grid(list(map(scaled, images)), captions), 0)

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
        if split not in self._photos:
            self._photos[split] = list(map(scaled, datamodule.images(split, indices)))
        grid = draw_grid(self._photos[split], captions)
        for logger in loggers:
            add_image(logger, f"{split}/predictions", grid, trainer.global_step)


def describe(probabilities: Tensor, label: int, classes: Sequence[str]) -> str:
    """The predicted class of probabilities (K,) with its probability; if wrong, the true class on a second line."""
    predicted = int(probabilities.argmax())
    text = f"{classes[predicted]} {probabilities[predicted]:.0%}"
    return text if predicted == label else f"{text}\nis {classes[label]}"


def spread(size: int, count: int) -> list[int]:
    """At most `count` positions, spread evenly over range(size)."""
    return [i * size // count for i in range(count)] if size > count else list(range(size))


def draw_grid(photos: Sequence[Image.Image], captions: Sequence[tuple[str, Colour]]) -> Image.Image:
    """Draws photos in rows of at most COLUMNS, each above its caption in white on a color."""
    tiles = [
        Tile(photo, text.split("\n"), colour, WHITE) for photo, (text, colour) in zip(photos, captions, strict=True)
    ]
    return draw_tiles(tiles, columns=2 if len(tiles) == 4 else COLUMNS, size=SIZE)
