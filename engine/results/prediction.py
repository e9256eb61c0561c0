"""Classifies photos with a trained network."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from engine.data.normalization import normalize
from engine.errors import UserError, printable
from engine.features.frozen import FrozenBackbone
from engine.features.openvino_engine import engine_at_hand
from engine.photos.formats import left_out
from engine.photos.layouts.selection import composed, members_of
from engine.photos.layouts.split_folders import split_named
from engine.photos.unlabelled_photos import PhotoBatch, UnlabelledPhotos, find_photos
from engine.process.activity import activity
from engine.process.startup import silence_idle_messages
from engine.results.calibration import temperature_of, tempered
from engine.results.contact_sheet import ContactSheet
from engine.results.export_formats import onnx_outputs
from engine.results.prediction_files import prediction_file
from engine.results.preprocessing import compute_in_32_bits, normalization, photo_transform
from engine.run.config_file import usable_cores
from engine.run.trained import Trained, load_trained
from engine.speed.memory import keep_freed_memory

Loader = DataLoader[PhotoBatch]
PRECISIONS = ("32", "run")
MAX_PIXELS = 100_000_000
"""Default for datamodules without max_pixels: larger photos are refused before they are decoded."""


class Predictor:
    """Transformed photos (N, C, H, W) uint8 → probabilities (N, num_classes), float32 on the CPU.

    Computes in 32-bit precision like an exported network or, with `precision=run`, in that of the training. With
    `model`, an ONNX file from export.py is used. With `tta=flip`, the probabilities of a photo and its mirror image are
    averaged. The temperature of a calibrated run (calibration.py) is applied. The network is not compiled, which would
    not pay off for a few photos.

    UserError if the run's network does not predict classes.
    """

    def __init__(
        self, trained: Trained, precision: str = "32", tta: str | None = None, model: Path | None = None
    ) -> None:
        if tta not in (None, "flip"):
            raise UserError(f"tta={tta}: choose flip, or null for none.")
        self.flips = tta == "flip"
        self.exported = onnx_outputs(model) if model else None
        self.temperature = temperature_of(trained.directory, trained.checkpoint, trained.content.get("epoch", 0))
        if precision not in PRECISIONS:
            raise UserError(f"precision={precision}: choose from {', '.join(PRECISIONS)}.")
        config = trained.config
        if precision == "32":
            compute_in_32_bits(config)
        if "compile" in config.lightning_module:
            config.lightning_module.compile = False
        module: Any = trained.load_module()
        lacks = [name for name in ("several", "probabilities") if not hasattr(module, name)]
        if lacks or not trained.data["classes"]:
            what = f"{type(module).__name__} has no {' and no '.join(lacks)} (engine/protocols.py: PredictsClasses)"
            reason = what if lacks else "its datamodule names no classes (engine/protocols.py: Classes)"
            raise UserError(f"run={trained.directory}: its network predicts no classes: {reason}.")
        self.several, self.probabilities = module.several, module.probabilities
        self.classes: list[str] = trained.data["classes"]
        self.mean, self.std = normalization(trained)
        self.backbone = None
        if trained.has_features:
            self.backbone = FrozenBackbone(
                module.network,
                str(config.features.precision),
                engine=engine_at_hand(config.features),
                cache_dir=Path(config.features.cache_dir),
            )
        fabric = Fabric(accelerator=config.trainer.accelerator, devices=1, precision=config.trainer.precision)
        self.device = fabric.device
        self.module = fabric.setup_module(module)

    @torch.inference_mode()
    def __call__(self, photos: Tensor) -> Tensor:
        seen = self._probabilities(photos)
        if self.flips:
            seen = (seen + self._probabilities(photos.flip(-1))) / 2
        calibrated: Tensor = seen if self.temperature == 1 or self.several else tempered(seen, self.temperature)
        return calibrated

    def _probabilities(self, photos: Tensor) -> Tensor:
        inputs = normalize(photos.to(self.device), self.mean, self.std)
        if self.exported is not None:
            return self.probabilities(self.exported(inputs.float().cpu()).float())
        if self.backbone is not None:
            inputs = self.backbone(inputs).to(self.device)
        return self.probabilities(self.module(inputs).float()).cpu()

    def label(self, probabilities: Tensor) -> str:
        """The most probable class; for several labels, those above one half, joined by +."""
        if not self.several:
            return self.classes[int(probabilities.argmax())]
        return "+".join(name for name, p in zip(self.classes, probabilities.tolist(), strict=True) if p > 0.5)


class Prediction(NamedTuple):
    """A photo's position in the input, the photo as the network saw it (C, H, W) uint8, and probabilities (K,)."""

    position: int
    photo: Tensor
    probabilities: Tensor


class Written(NamedTuple):
    """The number of predicted photos, the number of correct ones (if known), and the last prediction in words."""

    photos: int
    right: int
    last: str


def predict(
    directory: Path,
    photos: str,
    *,
    output: str | None,
    checkpoint: str,
    contact_sheet: str | None,
    contact_sheet_photos: int,
    precision: str,
    tta: str | None,
    model: str | None,
    batch_size: int | None,
    num_workers: int | None,
) -> None:
    """Writes the predictions for all photos in `photos` (find_photos); conf/predict.yaml explains the settings.

    Unreadable files are reported on stderr. UserError, with nothing written, if no photo can be read.
    """
    silence_idle_messages()
    keep_freed_memory()
    path = Path(output) if output else directory / "predictions.csv"
    with activity("loading the run"):
        trained = load_trained(directory, checkpoint)
    for notice in trained.notices:
        print(printable(notice), file=sys.stderr)
    transform = photo_transform(trained)
    files, others = find_photos(photos)
    sheet = None
    if contact_sheet is not None:
        sheet = ContactSheet(Path(contact_sheet), every=-(-len(files) // max(1, contact_sheet_photos)))
    node = trained.config.datamodule
    dataset = UnlabelledPhotos(files, transform, max_pixels=node.get("max_pixels", MAX_PIXELS))
    loader = dataset.loader(
        batch_size=batch_size or node.get("eval_batch_size") or node.get("batch_size") or 1,
        num_workers=usable_cores() if num_workers is None else num_workers,
        worker_timeout=node.get("worker_timeout") or 0,
    )

    with activity("loading the network"):
        predictor = Predictor(trained, precision, tta, Path(model) if model else None)
    truth = true_classes(Path(photos), files, folders_of_classes(predictor.classes, node.get("classes")))
    count, right, last = write_predictions(predictor, files, loader, path, sheet, truth)
    if count < len(files):
        print(f"{len(files) - count:,} of {len(files):,} photos could not be read.", file=sys.stderr)
    if others:
        print(printable(f"Ignored files that are not photos: {left_out(others)}."), file=sys.stderr)
    calibrated = "" if predictor.temperature == 1 else f", calibrated with temperature {predictor.temperature:.3g}"
    if len(files) == 1:
        print(printable(f"{files[0].name}: {last}"))
    print(printable(f"{count:,} predicted{calibrated}: {path}"))
    if truth:
        print(f"accuracy {right / count:.4f}: {right:,} of {count:,} are in the folder of their class")
    if sheet is not None and sheet.save():
        print(f"contact sheet: {sheet.path}")


def folders_of_classes(classes: Sequence[str], merged: Any) -> dict[str, str]:
    """Maps names of folders to classes; datamodule.classes may merge several folders into one class."""
    folders = {name: name for name in classes}
    for name, members in members_of(merged).items() if isinstance(merged, Mapping) else ():
        folders |= dict.fromkeys(members, name)
    return folders


def true_classes(root: Path, files: Sequence[Path], folders: Mapping[str, str]) -> list[str]:
    """The class of each photo from its class folder, perhaps inside folders of splits; empty if any has none."""
    if not root.is_dir():
        return []
    found = []
    for file in files:
        parts = [composed(part) for part in file.relative_to(root).parts[:-1]]
        while parts and parts[0] not in folders and split_named(parts[0]):
            del parts[0]  # of training_set/training_set/cats, say
        found.append(next((folders[part] for part in parts[:2] if part in folders), ""))
    return found if all(found) else []


def write_predictions(
    predictor: Predictor,
    files: Sequence[Path],
    loader: Loader,
    path: Path,
    sheet: ContactSheet | None,
    truth: Sequence[str] = (),
) -> Written:
    """Writes the predictions for the photos of a loader of UnlabelledPhotos(files) to `path`.

    UserError, with nothing written, if no photo can be read.
    """
    count, right, last = 0, 0, ""
    with prediction_file(path, predictor.classes, has_truth=bool(truth)) as write:
        for position, photo, probabilities in predictions(predictor, loader):
            label = predictor.label(probabilities)
            write(files[position], label, probabilities.tolist(), truth[position] if truth else None)
            right += bool(truth) and label == truth[position]
            last = f"{label or 'no class'}, probability {float(probabilities.max()):.1%}"
            if sheet is not None and position % sheet.every == 0:
                sheet.add(photo, f"{label} {float(probabilities.max()):.0%}", files[position].name)
            count += 1
        if not count:
            raise UserError(f"None of the {len(files):,} files of the input can be read as a photo.")
    return Written(count, right, last)


def predictions(predictor: Predictor, loader: Loader) -> Iterator[Prediction]:
    """Predictions for all readable photos in order; the others, and damaged ones, are reported on stderr."""
    with activity("predicting", len(loader.dataset), "photos") as shown:  # type: ignore[arg-type]
        for positions, photos, unreadable, damaged in loader:
            for sentence in (*unreadable, *damaged):
                shown.say(sentence)
            if photos is not None:
                yield from map(Prediction, positions, photos, predictor(photos))
            shown.advance(len(positions) + len(unreadable))
