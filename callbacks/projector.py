"""TensorBoard's PROJECTOR tab."""

import math
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from callbacks.evaluation import PredictionCallback, indices_in_split
from callbacks.loggers import tensorboard_loggers
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


class Projector(PredictionCallback):
    """Shows the features of photos in the last validation as points with thumbnails.

    Features are the input of `network.head`, averaged if the network evaluates several views of a photo. The photos are
    spread evenly over the split. Evaluation steps must return outputs (N, num_classes). Not available for compiled
    networks, which run no hooks. With several processes, the first shows its own photos.

    Writes projector_config.pbtxt, which TensorBoard looks for, and projector/ to the run directory.

    Args:
        max_photos: maximum number of photos.
        side: side of a thumbnail in pixels.
    """

    is_last_alone = True
    needs = ("classes", "labels", "thumbnails")
    keeps = ("_predictions", "_features")

    def __init__(self, *, max_photos: Annotated[int, Ge(1)], side: Annotated[int, Ge(1)]) -> None:
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
        rows = [
            (names[label], names[guess], "right" if label == guess else "wrong")
            for label, guess in zip(datamodule.labels(split, indices), predicted[shown].tolist(), strict=True)
        ]
        thumbnails = datamodule.thumbnails(split, indices, self.side)
        for logger in tensorboard_loggers(trainer):
            write(Path(logger.log_dir), torch.cat(self._features)[shown], rows, thumbnails)


def write(run: Path, features: Tensor, rows: list[tuple[str, str, str]], thumbnails: Tensor) -> None:
    """Writes features (N, D), rows of (class, predicted class, right or wrong) and thumbnails (N, 3, side, side) uint8.

    All paths are relative, so the run can be moved."""
    folder = run / "projector"
    folder.mkdir(exist_ok=True)
    with replacing(folder / "features.bytes") as file:
        file.write(features.numpy().tobytes())
    header = ("class", "predicted", "prediction")
    table = ["\t".join(row) for row in (header, *rows)]
    replace_text(folder / "photos.tsv", "\n".join(table) + "\n")
    with replacing(folder / "thumbnails.jpg") as file:
        sprite(thumbnails).save(file, "JPEG", quality=90)
    count, width = features.shape
    config = CONFIG.format(count=count, width=width, side=thumbnails.shape[-1])
    replace_text(run / "projector_config.pbtxt", config)


def sprite(thumbnails: Tensor) -> Image.Image:
    """All thumbnails (N, 3, H, W) in one image, row by row in a square grid, as TensorBoard expects."""
    count, channels, height, width = thumbnails.shape
    side = math.ceil(math.sqrt(count))
    cells = thumbnails.new_full((side**2, channels, height, width), 255)
    cells[:count] = thumbnails
    rows = cells.view(side, side, channels, height, width).permute(0, 3, 1, 4, 2)
    return Image.fromarray(rows.reshape(side * height, side * width, channels).numpy())
