"""Images of the most confident mistakes."""

from typing import Annotated, Any

import torch
from annotated_types import Ge
from pytorch_lightning import Trainer
from torch import Tensor

from callbacks.evaluation import PredictionCallback, indices_in_split
from callbacks.image_grids import WRONG, describe, draw_grid
from callbacks.loggers import add_image, picture_loggers
from engine.results.contact_sheet import scaled


class ConfidentlyWrong(PredictionCallback):
    """The grids `val/confidently_wrong` and `test/confidently_wrong` of misclassified photos, most confident first.

    Only the last validation is drawn, and no grid if all predictions are right. With several processes, the first shows
    its own photos.
    """

    is_last_alone = True
    needs = ("classes", "labels", "images")

    def __init__(self, *, max_images: Annotated[int, Ge(1)]) -> None:
        super().__init__()
        self.max_images = max_images

    def show(self, trainer: Trainer, split: str) -> None:
        probabilities = self.probabilities
        if not (loggers := picture_loggers(trainer)):
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        indices = indices_in_split(trainer, range(len(probabilities)))
        labels = datamodule.labels(split, indices)
        shown = confidently_wrong(probabilities, torch.tensor(labels), self.max_images)
        if not shown:
            return
        captions = [(describe(probabilities[i], labels[i], datamodule.classes), WRONG) for i in shown]
        photos = list(map(scaled, datamodule.images(split, [indices[i] for i in shown])))
        for logger in loggers:
            add_image(logger, f"{split}/confidently_wrong", draw_grid(photos, captions), trainer.global_step)


def confidently_wrong(probabilities: Tensor, labels: Tensor, count: int) -> list[int]:
    """At most `count` indices of misclassified rows of probabilities (N, K), the most confident first."""
    confidence, predicted = probabilities.max(dim=1)
    wrong = (predicted != labels).nonzero().flatten()
    order: list[int] = wrong[confidence[wrong].argsort(descending=True, stable=True)].tolist()
    return order[:count]
