"""The report's sections for networks that assign each example one class."""

from collections.abc import Sequence

import numpy as np
import torch

from engine.pages.markup import Cell, Images, Numeric, details, matrix, paragraph, picture, section, table
from engine.report.answer import CONFIDENCE
from engine.report.drawings import draw_confusion
from engine.report.facts import Facts
from engine.results.outputs import Predictions
from engine.statistics import wilson_interval

MAX_ROWS, MAX_MATRIX, FEW = 30, 20, 15
MAX_CLASSES = 2000
"""With more classes, there is no confusion matrix."""


def share_of(hits: int, total: int) -> tuple[str, str]:
    """A share in percent and its interval; empty if there are no examples."""
    if not total:
        return "", ""
    low, high = wilson_interval(hits, total, CONFIDENCE)
    return f"{hits / total:.1%}", f"{low:.1%} to {high:.1%}"


def examples_of(predictions: Predictions) -> str:
    """`360 test examples`."""
    split = {"val": "validation"}.get(predictions.split, predictions.split)
    return f"{len(predictions.targets):,} {split} examples"


def domains_section(facts: Facts, predictions: Predictions) -> str:
    """The accuracy in each domain; empty if there is only one."""
    if not (others := facts.collector.others):
        return ""
    rows = []
    for name, found in {str(facts.datamodule.domain): predictions, **others}.items():
        right, total = int((found.predicted == found.targets).sum()), len(found.targets)
        rows.append([name, *map(Numeric, (f"{total:,}", f"{right:,}", *share_of(right, total)))])
    head = ["domain", "examples", "right", "accuracy", "95 % interval"]
    split = {"val": "Validation"}.get(predictions.split, predictions.split.capitalize())
    return section("Domains", table(head, rows, f"{split} examples, {facts.shown_epoch}."))


def classes_sections(facts: Facts, predictions: Predictions, images: Images) -> str:
    classes, counts = facts.classes, predictions.confusion().numpy()
    drawing = draw_confusion(counts, classes)
    images["confusion_matrix.png"] = drawing.png
    what = _summary(facts, predictions)
    if len(classes) <= MAX_MATRIX:
        shown = matrix("true \\ predicted", classes, _cells(counts), what)
    else:
        shown = picture(drawing.png, "Confusion matrix", drawing.size) + paragraph(what, "faint")
        shown += table(["true class", "predicted as", "examples"], _confused(counts, classes), "The most frequent.")
    return section("Classes", *_class_tables(counts, classes)) + section("Confusion matrix", shown)


def _summary(facts: Facts, predictions: Predictions) -> str:
    right, total = int((predictions.predicted == predictions.targets).sum()), len(predictions.targets)
    share, interval = share_of(right, total)
    name = f"{predictions.split}/acc"
    logged = (facts.outcome if predictions.split == "test" else facts.best or facts.outcome).get(name)
    counted = ""
    if isinstance(logged, float) and abs(logged - right / total) > 1e-6:
        counted = f" {name}, {logged:.1%}, is computed differently, for example as the mean over several networks."
    return (
        f"{right:,} of {total:,} right ({share}, 95 % interval {interval}): {examples_of(predictions)}, "
        f"{facts.shown_epoch}. Rows are true classes, columns predicted ones; percentages are of the row.{counted}"
    )


def _class_tables(counts: np.ndarray, classes: Sequence[str]) -> list[str]:
    """One row per class; with many classes, those with the lowest recall first."""
    head = ["class", "examples", "right", "recall", "95 % interval", "precision"]
    rows = _class_rows(counts, classes)
    if len(rows) <= MAX_ROWS:
        return [table(head, rows)]
    total, right = counts.sum(1), counts.diagonal()
    order = np.argsort(np.where(total > 0, right / np.maximum(total, 1), 2), kind="stable")
    lowest = table(head, [rows[place] for place in order[:FEW]], f"The {FEW} classes of lowest recall.")
    return [lowest, details(f"All {len(rows):,} classes", table(head, rows))]


def _cells(counts: np.ndarray) -> list[list[Cell]]:
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [
        [Cell(f"{count:,}", f"{share:.0%}" if count else "", float(share)) for count, share in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]


def _confused(counts: np.ndarray, classes: Sequence[str]) -> list[list[str]]:
    off = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-off, axis=None, kind="stable")[:20]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [[classes[i], classes[j], Numeric(f"{off[i, j]:,}")] for i, j in pairs if off[i, j]]


def _class_rows(counts: np.ndarray, classes: Sequence[str]) -> list[list[str]]:
    rows = []
    for number, name in enumerate(classes):
        total, right, predicted = int(counts[number].sum()), int(counts[number, number]), int(counts[:, number].sum())
        precision = f"{right / predicted:.1%}" if predicted else "never predicted"
        rows.append([name, *map(Numeric, (f"{total:,}", f"{right:,}", *share_of(right, total), precision))])
    return rows


def confusion_csv(facts: Facts) -> list[list[object]] | None:
    """The confusion matrix with class names, true classes as rows; None for other results."""
    predictions = facts.predictions
    if predictions is None or predictions.kind != "class" or predictions.outputs.shape[1] > MAX_CLASSES:
        return None
    counts: torch.Tensor = predictions.confusion()
    rows = [[name, *row] for name, row in zip(facts.classes, counts.tolist(), strict=True)]
    return [["true \\ predicted", *facts.classes], *rows]
