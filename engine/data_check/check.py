"""Checks photos before anything is trained on them."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from engine.build import build_features, build_network
from engine.config.arguments import quoted
from engine.data_check.duplicates import alike, identical
from engine.data_check.labels import ENOUGH, FOLDS, Curve, doubtful, learning_curve, out_of_fold, outliers
from engine.errors import DataError, UserError
from engine.paths import CONF
from engine.photos.damage import UNKNOWN
from engine.photos.images import Look, look_at, read_image, read_thumbnail
from engine.photos.layouts.walk import walk
from engine.photos.photo_index import PhotoIndex
from engine.photos.photo_set import Photos
from engine.process.activity import activity, watched
from engine.protocols import FindsPhotos

SIDE = 64  # pixels: side of the thumbnails that are compared
SEED = 0


class Photo(NamedTuple):
    """A readable file with its class and split."""

    file: Path
    label: str
    split: str


@dataclass
class Finding:
    """A definite or possible problem with a photo; `other` is the photo that it duplicates."""

    kind: str
    file: Path
    label: str = ""
    detail: str = ""
    other: Path | None = None


@dataclass
class DataCheck:
    """All findings in the data set `name`.

    `counts` is by split and class, and `looks` describes each readable file. `curve` is empty and `accuracy` None if a
    class has too few photos for cross-validation.
    """

    name: str
    counts: Mapping[str, Mapping[str, int]]
    looks: Mapping[Path, Look] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    accuracy: float | None = None
    curve: Sequence[Curve] = ()

    @property
    def classes(self) -> list[str]:
        return sorted({name for classes in self.counts.values() for name in classes})

    def of_kind(self, *kinds: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind in kinds]


def check(data_dir: str | None, table: str | None, *, cache_dir: str, num_workers: int | None) -> DataCheck:
    """Checks the photos of a folder, laid out as for datamodule=image_folder, or of a table (datamodule=image_table).

    Files that cannot be read are among the findings.

    Raises:
        UserError: the layout or the table is unusable.
    """
    config = _config(data_dir, table, cache_dir, num_workers)
    datamodule: Any = instantiate(config.datamodule)
    assert isinstance(datamodule, FindsPhotos)
    splits = datamodule.find()
    ordered = {split: splits[split] for split in ("train", "val", "test") if split in splits}
    counts = {split: {name: len(files) for name, files in classes.items()} for split, classes in ordered.items()}
    found = DataCheck(datamodule.name, counts)
    if table is None:
        found.findings += _left_out(datamodule.root)
    photos, thumbnails = _read(found, splits, datamodule.max_pixels)
    if len(photos) < 2:
        return found
    datamodule.use({"val": _by_class(photos)})
    features = build_features(config, datamodule, build_network(config, None))
    vars(datamodule)["tell_damaged"] = lambda: None  # the report does
    features.setup("fit")
    found.findings += _damaged(datamodule)
    with activity("looking for copies and doubtful labels"):
        _find_copies(found, photos, thumbnails)
        # `features` is in the order of datamodule.val.files, which is that of `photos`.
        _find_by_features(found, photos, features.features["val"][:, 0].numpy())
    return found


def _config(data_dir: str | None, table: str | None, cache_dir: str, num_workers: int | None) -> DictConfig:
    if data_dir is None and table is None:
        raise UserError("Give data_dir=…, a folder of class folders, or table=…, a table of photos.")
    given = {"data_dir": data_dir, "table": table}
    data = [f"datamodule.{key}={quoted(path)}" for key, path in given.items() if path is not None]
    workers = [] if num_workers is None else [f"datamodule.num_workers={num_workers}"]
    kind = "image_folder" if table is None else "image_table"
    parts = ["experiment=transfer_feature_extractor", "network=efficientnet_lite0", f"datamodule={kind}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*parts, *data, f"features.cache_dir={quoted(cache_dir)}", *workers, "run_dir=."])


def _left_out(root: Path) -> Iterator[Finding]:
    for folder in walk(root):
        if not folder.is_hidden:
            yield from (Finding("no photo by its name", folder.path / name) for name in folder.others)


def _read(
    found: DataCheck, splits: Mapping[str, Mapping[str, Sequence[Path]]], max_pixels: int
) -> tuple[list[Photo], Tensor]:
    """The photos that can be decoded, ordered by class, and their thumbnails (N, 3, SIDE, SIDE) uint8."""
    names = sorted({name for classes in splits.values() for name in classes})
    every = [Photo(file, name, split) for name in names for split in splits for file in splits[split].get(name, ())]

    def decoded(photo: Photo) -> tuple[Look, Tensor] | DataError:
        try:
            return look_at(photo.file, max_pixels), read_thumbnail(photo.file, SIDE, max_pixels)
        except DataError as error:
            return error

    photos, thumbnails, looks = [], [], {}
    with ThreadPoolExecutor() as pool:
        results = watched(pool.map(decoded, every), "reading", "photos", total=len(every))
        for photo, result in zip(every, results, strict=True):
            if isinstance(result, DataError):
                found.findings.append(Finding("cannot be read", photo.file, photo.label, str(result)))
            else:
                looks[photo.file], thumbnail = result
                photos.append(photo)
                thumbnails.append(thumbnail)
    found.looks = looks
    return photos, torch.stack(thumbnails) if thumbnails else torch.zeros(0, 3, SIDE, SIDE)


def _damaged(datamodule: Any) -> Iterator[Finding]:
    """Photos of datamodule.val whose decoder complains, though it gives a picture.

    Most were read for their features; the others are read now, and those that are damaged once more, for the reason.
    """
    photos: Photos = datamodule.val
    datamodule.damaged()
    for position in watched((photos.conditions == UNKNOWN).nonzero().flatten().tolist(), "decoding", "photos"):
        photos[position]
    for file in datamodule.damaged():
        label = photos.labels[list(photos.files).index(file)]
        damage: list[str] = []
        read_image(file, datamodule.max_pixels, damage)
        yield Finding("damaged", file, datamodule.classes[label], "; ".join(damage))


def _by_class(photos: Sequence[Photo]) -> dict[str, list[Path]]:
    classes: dict[str, list[Path]] = {}
    for photo in photos:
        classes.setdefault(photo.label, []).append(photo.file)
    return classes


def _find_copies(found: DataCheck, photos: Sequence[Photo], thumbnails: Tensor) -> None:
    index = PhotoIndex([photo.file for photo in photos])
    same = [(first, other) for first, *others in identical(index) for other in others]
    copies = {other for _, other in same}
    similar = [pair for pair in alike(thumbnails) if not copies & {*pair}]  # of identical ones, the first is compared
    for kind, pairs in (("identical", same), ("look-alikes", similar)):
        for first, second in pairs:
            one, two = photos[first], photos[second]
            where = "with two labels" if one.label != two.label else "in two splits" if one.split != two.split else ""
            detail = f"{one.split}/{one.label} and {two.split}/{two.label}"
            found.findings.append(Finding(f"{kind} {where}".strip(), two.file, two.label, detail, one.file))


def _find_by_features(found: DataCheck, photos: Sequence[Photo], features: np.ndarray) -> None:
    names = sorted({photo.label for photo in photos})
    labels = np.array([names.index(photo.label) for photo in photos])
    for position in outliers(features):
        found.findings.append(Finding("unlike all others", photos[position].file, photos[position].label))
    if len(names) < 2 or np.bincount(labels).min() < max(ENOUGH, FOLDS):
        return
    probabilities = out_of_fold(features, labels, SEED)
    found.accuracy = float((probabilities.argmax(1) == labels).mean())
    found.curve = learning_curve(features, labels, SEED)
    for position in doubtful(probabilities, labels):
        guess = int(probabilities[position].argmax())
        detail = f"{names[guess]} {probabilities[position, guess]:.0%}"
        found.findings.append(Finding("doubtful label", photos[position].file, photos[position].label, detail))
