"""TensorBoard's PROJECTOR tab."""

import math
from colorsys import hsv_to_rgb
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from callbacks.evaluation import PredictionCallback, indices_in_split
from callbacks.loggers import tensorboard_loggers
from engine.errors import printable
from engine.files import replace_text, replacing

CONFIG = """embeddings {{
  tensor_name: "features"
  tensor_path: "projector/features.bytes"
  tensor_shape: {count}
  tensor_shape: {width}
  metadata_path: "projector/photos.tsv"
  sprite {{
    image_path: "projector/thumbnails.jpg"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""


PALETTE = (
    *((31, 95, 174), (240, 150, 20), (26, 127, 55), (130, 70, 180), (20, 170, 190)),
    *((140, 90, 50), (230, 120, 190), (110, 110, 110), (170, 180, 30), (20, 20, 20)),
)
CROSS = (225, 20, 20)


class Projector(PredictionCallback):
    """Shows the features of photos in the last validation as points with thumbnails.

    A thumbnail's frame has the color of its class, and a red cross marks photos with a wrong prediction.
    Features are the input of `network.head`, averaged if the network evaluates several views of a photo. The photos are
    spread evenly over the split. Evaluation steps must return outputs (N, num_classes). Not available for compiled
    networks, which do not run hooks. With several processes, the first shows its own photos.

    Writes projector_config.pbtxt, which TensorBoard looks for, and projector/ to the run directory.

    Args:
        max_photos: maximum number of photos.
        side: side of a thumbnail in pixels.
    """

    is_last_alone = True
    needs = ("classes", "labels", "thumbnails")
    keeps = ("_predictions", "_features")

    def __init__(self, *, max_photos: Annotated[int, Ge(1)], side: Annotated[int, Ge(1), Le(1024)]) -> None:
        super().__init__()
        self.max_photos, self.side = max_photos, side
        self._calls: list[Tensor] = []  # inputs of the head in one batch
        self._features: list[Tensor] = []
        self._hook: RemovableHandle | None = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_start(trainer, pl_module)
        head = getattr(getattr(pl_module, "network", None), "head", None)
        if head is not None and tensorboard_loggers(trainer) and not getattr(pl_module, "compiled", False):
            self._hook = head.register_forward_pre_hook(lambda _, inputs: self._calls.append(inputs[0]))

    def collect(self, probabilities: Tensor, labels: Tensor) -> None:
        super().collect(probabilities, labels)
        calls = [features for features in self._calls if features.shape[:-1] == probabilities.shape[:-1]]
        self._calls = []
        if calls:
            self._features.append(torch.stack(calls).float().mean(0).cpu())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def forget(self) -> None:
        super().forget()
        self._calls, self._features = [], []

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only validation photos are shown."""

    def show(self, trainer: Trainer, split: str) -> None:
        predicted = self.probabilities.argmax(1)
        if not self._features:
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        shown = torch.arange(0, len(predicted), math.ceil(len(predicted) / self.max_photos))
        indices = indices_in_split(trainer, shown.tolist())
        names = datamodule.classes
        labels = torch.tensor(datamodule.labels(split, indices))
        rows = [
            (names[label], names[guess], "no" if label == guess else "yes")
            for label, guess in zip(labels.tolist(), predicted[shown].tolist(), strict=True)
        ]
        thumbnails = datamodule.thumbnails(split, indices, self.side)
        thumbnails = framed(thumbnails, labels, len(names), labels != predicted[shown])
        for logger in tensorboard_loggers(trainer):
            write(Path(logger.log_dir), torch.cat(self._features)[shown], rows, thumbnails)


def write(run: Path, features: Tensor, rows: list[tuple[str, str, str]], thumbnails: Tensor) -> None:
    """Writes features (N, D), rows of (class, predicted class, whether it is wrong), and thumbnails (N, 3, side, side)
    uint8. All paths are relative, so the run can be moved."""
    folder = run / "projector"
    folder.mkdir(exist_ok=True)
    with replacing(folder / "features.bytes") as file:
        file.write(features.numpy().tobytes())
    header = ("label", "predicted", "wrong")
    table = ["\t".join(map(printable, row)) for row in (header, *rows)]
    replace_text(folder / "photos.tsv", "\n".join(table) + "\n")
    with replacing(folder / "thumbnails.jpg") as file:
        sprite(thumbnails).save(file, "JPEG", quality=90)
    count, width = features.shape
    config = CONFIG.format(count=count, width=width, side=thumbnails.shape[-1])
    replace_text(run / "projector_config.pbtxt", config)


def framed(thumbnails: Tensor, labels: Tensor, num_classes: int, wrong: Tensor) -> Tensor:
    """Thumbnails (N, 3, side, side) framed in the color of their class, with a red cross over the `wrong` ones (N,)."""
    side = thumbnails.shape[-1]
    line = torch.arange(side)
    down, right, border = line[:, None], line[None, :], side // 10
    is_frame = torch.minimum(line, side - 1 - line) < border
    is_cross = ((down - right).abs() < border) | ((down + right - side + 1).abs() < border)
    colours = torch.tensor([colour_of(label, num_classes) for label in range(num_classes)], dtype=torch.uint8)
    crossed = torch.where(is_cross & wrong.view(-1, 1, 1, 1), torch.tensor(CROSS).view(3, 1, 1).byte(), thumbnails)
    return torch.where(is_frame[:, None] | is_frame, colours[labels][:, :, None, None], crossed)


def colour_of(label: int, num_classes: int) -> tuple[int, int, int]:
    """A color of PALETTE; with more classes than it has, a hue of its own for each class."""
    if num_classes <= len(PALETTE):
        return PALETTE[label]
    red, green, blue = hsv_to_rgb(label / num_classes, 0.85 if label % 2 else 0.55, 0.9 if label % 2 else 0.65)
    return round(255 * red), round(255 * green), round(255 * blue)


def sprite(thumbnails: Tensor) -> Image.Image:
    """All thumbnails (N, 3, H, W) in one image, row by row in a square grid, as TensorBoard expects."""
    count, channels, height, width = thumbnails.shape
    side = math.ceil(math.sqrt(count))
    cells = thumbnails.new_full((side**2, channels, height, width), 255)
    cells[:count] = thumbnails
    rows = cells.view(side, side, channels, height, width).permute(0, 3, 1, 4, 2)
    return Image.fromarray(rows.reshape(side * height, side * width, channels).numpy())
