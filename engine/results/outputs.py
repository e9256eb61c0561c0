"""Collects the outputs of a trained network for each example of a split."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from engine.protocols import Domains, PredictsClasses
from engine.results.contact_sheet import TILE
from engine.run.data_facts import classes_of

Kind = Literal["class", "labels", "numbers"]


Part = tuple[Kind, Tensor, Tensor]
"""The kind, outputs and targets of a batch."""


class Predictions(NamedTuple):
    """Outputs (N, K) with targets: one class each (N,), several labels (N, K) bool, or numbers (N, K).

    For classes and labels, the outputs are probabilities.
    """

    split: str
    kind: Kind
    outputs: Tensor
    targets: Tensor

    @property
    def predicted(self) -> Tensor:
        """Classes (N,)."""
        return self.outputs.argmax(1)

    def confusion(self) -> Tensor:
        """Counts (K, K): rows are true classes, columns predicted ones."""
        size = self.outputs.shape[1]
        return torch.bincount(self.targets * size + self.predicted, minlength=size**2).view(size, size)

    def mistakes(self, count: int) -> list[tuple[int, int]]:
        """At most `count` pairs of an example and its wrong class or label, as indices, the most confident first.

        With several labels, only the worst one of each example is listed.
        """
        if self.kind == "class":
            confidence, column = self.outputs.max(1)
            is_wrong = column != self.targets
        else:
            distance = (self.outputs - 0.5).abs() * ((self.outputs > 0.5) != self.targets)
            confidence, column = distance.max(1)
            is_wrong = confidence > 0
        wrong = is_wrong.nonzero().flatten()
        order = wrong[confidence[wrong].argsort(descending=True, stable=True)][:count]
        return list(zip(order.tolist(), column[order].tolist(), strict=True))


class Collector(Callback):
    """Keeps outputs and targets of a test and of the last validation; in training, also of the best validation.

    The best one is determined by `metric` and `mode` (max or min). Evaluation steps must return outputs (N, K), and
    batches must start with inputs and targets. Only the first of several dataloaders is used.
    """

    follows_chunks = True

    def __init__(self, metric: str | None = None, mode: str = "max") -> None:
        self.metric, self.sign = metric, 1 if mode == "max" else -1
        self.best_epoch: int | None = None  # from 1
        self._best_value = -math.inf
        self._best_parts: list[Part | None] = []
        self.datamodule: Any = None
        self.others: dict[str, Predictions] = {}
        """Predictions for other domains (engine/protocols.py), by their names."""
        self._parts: dict[str, list[Part | None]] = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not trainer.sanity_checking:
            self._keep("val", trainer, pl_module, outputs, batch, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._keep("test", trainer, pl_module, outputs, batch, dataloader_idx)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts.pop("val", None)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        value = self.sign * float(trainer.callback_metrics.get(self.metric or "", math.nan))
        if value > self._best_value:
            self._best_value, self.best_epoch = value, trainer.current_epoch + 1
            self._best_parts = self._parts.get("val", [])

    def choose(self, epoch: int | None) -> bool:
        """Selects the validation of an epoch, or the last one if None; returns whether it is available."""
        if isinstance(self.datamodule, Domains) or epoch not in (None, self.best_epoch):
            return False
        if epoch is not None:
            self._parts["val"] = self._best_parts
        return bool(self._parts.get("val"))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._compare_domains("val", pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._compare_domains("test", pl_module)

    def _compare_domains(self, split: str, module: LightningModule) -> None:
        """Collects outputs for the data of other domains, without updating the module's metrics."""
        with suppress(Exception):  # only the report would lack them
            loaders = self.datamodule.other_domains(split) if isinstance(self.datamodule, Domains) else {}
            for name, loader in loaders.items():
                parts = [_part(module, module(batch[0].to(module.device).to(module.dtype)), batch) for batch in loader]
                if (found := _joined(split, parts)) is not None:
                    self.others[name] = found

    def _keep(self, split: str, trainer: Any, module: Any, outputs: Any, batch: Any, loader: int) -> None:
        if loader:
            return
        self.datamodule = trainer.datamodule
        part = None
        if trainer.world_size == 1:  # each of several processes only has a part of the examples
            with suppress(Exception):  # unexpected outputs must not stop a test
                part = _part(module, outputs, batch)
        self._parts.setdefault(split, []).append(part)

    @property
    def splits(self) -> list[str]:
        """The splits with outputs."""
        return list(self._parts)

    def predictions(self) -> Predictions | None:
        """The test's predictions if there was a test, else the validation's."""
        found = (_joined(split, self._parts.get(split, ())) for split in ("test", "val"))
        return next((predictions for predictions in found if predictions is not None), None)


def _joined(split: str, parts: Sequence[Part | None]) -> Predictions | None:
    """The outputs and targets of all batches; None if they do not fit together."""
    fit = [part for part in parts if part is not None]
    if not fit or len(fit) < len(parts) or len({(kind, outputs.shape[1]) for kind, outputs, _ in fit}) > 1:
        return None
    return Predictions(
        split, fit[0][0], torch.cat([outputs for _, outputs, _ in fit]), torch.cat([targets for *_, targets in fit])
    )


def _part(module: Any, outputs: Any, batch: Any) -> Part | None:
    targets = batch[1] if isinstance(batch, list | tuple) and len(batch) > 1 else None
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)) or outputs.ndim != 2:
        return None
    outputs, targets = outputs.detach(), targets.detach().cpu()
    if not isinstance(module, PredictsClasses):
        same = outputs.shape == targets.shape and targets.is_floating_point()
        return ("numbers", outputs.float().cpu(), targets.float()) if same else None
    if module.several:
        return ("labels", outputs.float().cpu(), targets.round().bool()) if targets.shape == outputs.shape else None
    if targets.shape != outputs.shape[:1] or targets.is_floating_point():
        return None
    known = (targets >= 0) & (targets < outputs.shape[1])  # a loss may ignore other targets
    return ("class", module.probabilities(outputs.float()).cpu(), targets) if known.all() else None


def class_names(datamodule: Any, count: int) -> list[str]:
    """The class names of the outputs; by default their numbers."""
    names = classes_of(datamodule)
    return names if len(names) == count else [str(number) for number in range(count)]


def example_names(datamodule: Any, split: str, positions: Sequence[int]) -> list[str]:
    """The examples' files, relative to the data's folder; by default their numbers, from 1."""
    source = getattr(datamodule, "photos", datamodule)
    files = getattr(getattr(source, split, None), "files", None)
    if files is None:
        return [f"{split} example {position + 1}" for position in positions]
    root = getattr(source, "root", None)
    paths = [Path(files[position]) for position in positions]
    return [str(path.relative_to(root) if root and path.is_relative_to(root) else path.name) for path in paths]


def pictures(datamodule: Any, split: str, positions: Sequence[int], targets: Tensor) -> list[Image.Image]:
    """The examples as pictures; empty if the datamodule shows no images, or in another order."""
    source = getattr(datamodule, "photos", datamodule)  # cached features would also cache the thumbnails
    if not positions or not (hasattr(source, "thumbnails") and hasattr(source, "labels")):
        return []
    if not torch.equal(torch.as_tensor(source.labels(split, positions)), targets[list(positions)]):
        return []
    return [to_pil_image(image) for image in source.thumbnails(split, positions, TILE)]


class PhotoRow(NamedTuple):
    """A photo, the index of its class, and the probability of each class."""

    file: Path
    label: int
    probabilities: list[float]


def photo_rows(predictions: Predictions | None, datamodule: Any) -> Sequence[PhotoRow]:
    """A row for each photo of the datamodule, or of the photos behind its cached features.

    Empty for data without files, several labels per photo, or predictions for only a part of the photos.
    """
    if predictions is None or predictions.kind != "class":
        return ()
    photos = getattr(getattr(datamodule, "photos", datamodule), predictions.split, None)
    files, labels = getattr(photos, "files", None), getattr(photos, "labels", None)
    if files is None or labels is None or list(labels) != predictions.targets.tolist():
        return ()
    return [PhotoRow(*row) for row in zip(files, labels, predictions.outputs.tolist(), strict=True)]
