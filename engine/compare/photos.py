"""Compares two trained networks on the same photos."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.compare.runs import Run
from engine.errors import UserError
from engine.results.contact_sheet import Tile, scaled
from engine.results.evaluation import evaluate
from engine.results.outputs import Collector
from engine.run.data_facts import classes_of

Photo = Callable[[], Tensor]
MAX_TILES = 200


@dataclass(frozen=True)
class Answer:
    """A photo's predicted and true class and its name, and a function that reads it as a tensor (3, H, W)."""

    predicted: str
    label: str
    name: str
    photo: Photo

    @property
    def is_right(self) -> bool:
        return self.predicted == self.label


Answers = Mapping[Any, Answer]
"""Answers by what identifies a photo: its file and size, or its pixels."""


def answers(run: Run, checkpoint: str, split: str) -> Answers:
    """The run's predictions for all photos of a split of its own data.

    Raises:
        UserError: there is not one class per photo, or the photos cannot be told apart. Loading may raise other errors.
    """
    collector = Collector()
    evaluate(run.directory, split=split, checkpoint=checkpoint, overrides=[], callbacks=[collector])
    predictions = collector.predictions()
    if predictions is None or predictions.kind != "class":
        raise UserError(f"{run.name}: its network does not give one class per photo")
    labels, predicted_labels = predictions.targets.tolist(), predictions.predicted.tolist()
    datamodule = collector.datamodule
    source = getattr(datamodule, "photos", datamodule)  # of cached features, the underlying photos
    count = len(labels)
    names = classes_of(datamodule) or [str(label) for label in range(max(labels) + 1)]
    if not (hasattr(source, "images") and hasattr(source, "labels")):
        raise UserError(f"{run.name}: its data does not show its images (engine/protocols.py: ShowsImages)")
    if list(source.labels(split, range(count))) != labels:
        raise UserError(f"{run.name}: its data has another order than its files")
    found: dict[Any, Answer] = {}
    seen: Counter[Any] = Counter()
    for index, (key, name) in enumerate(_identities(source, split, count)):
        predicted, label = predicted_labels[index], labels[index]
        answer = Answer(str(names[predicted]), str(names[label]), name, _reader(source, split, index))
        found[key, seen[key]] = answer  # identical images are distinguished by their order
        seen[key] += 1
    return found


def _identities(source: Any, split: str, count: int) -> list[tuple[Any, str]]:
    """An identifier and a name for each photo."""
    files = getattr(getattr(source, split, None), "files", None)
    if files is None:
        return [
            (hashlib.sha256(source.images(split, [i]).contiguous().numpy().tobytes()).hexdigest(), f"{split} image {i}")
            for i in range(count)
        ]
    root = getattr(source, "root", None)
    paths = [Path(file) for file in files[:count]]
    names = [str(path.relative_to(root) if root and path.is_relative_to(root) else path.name) for path in paths]
    return [((name, path.stat().st_size), name) for path, name in zip(paths, names, strict=True)]


def _reader(source: Any, split: str, index: int) -> Photo:
    return lambda: source.images(split, [index])[0]


def common(ours: Answers, theirs: Answers) -> list[tuple[Answer, Answer]]:
    """The answers for the photos that both have, in the order of `ours`. Raises UserError if there are none."""
    pairs = [(ours[key], theirs[key]) for key in ours if key in theirs]
    if not pairs:
        raise UserError("the two runs have no photo of this split in common")
    return pairs


def tiles(pairs: Sequence[tuple[Answer, Answer]], letters: str) -> list[Tile]:
    """The contact sheet's tiles: photos whose predicted class differs, first those that one of the two gets right."""
    changed = [pair for pair in pairs if pair[0].predicted != pair[1].predicted]
    changed.sort(key=lambda pair: (not pair[0].is_right, not pair[1].is_right))
    return [
        Tile(scaled(ours.photo()), (_line(letters[0], ours), _line(letters[1], theirs), ours.name))
        for ours, theirs in changed[:MAX_TILES]
    ]


def _line(letter: str, answer: Answer) -> str:
    return f"{letter}: {answer.predicted} ({'right' if answer.is_right else 'wrong'})"


# Weights --------------------------------------------------------------------------------------------------------------


def differing_weights(first: Path, second: Path) -> tuple[list[str], int]:
    """The names of the tensors whose bits differ between two checkpoints, and how many tensors there are."""
    ours, theirs = (load_checkpoint(file, parts=["state_dict"])["state_dict"] for file in (first, second))
    names = [*dict.fromkeys([*ours, *theirs])]
    return [name for name in names if not _same(ours.get(name), theirs.get(name))], len(names)


def _same(ours: Any, theirs: Any) -> bool:
    if not (isinstance(ours, Tensor) and isinstance(theirs, Tensor)):
        return False
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    return torch.equal(_bytes(ours), _bytes(theirs))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
