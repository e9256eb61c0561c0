"""The sections of a page about results."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torchmetrics.functional.classification import multilabel_average_precision

from engine.report.answer import CONFIDENCE
from engine.report.curves import charts
from engine.report.drawings import MAX_PANELS, draw_confusion, draw_curves, draw_labels, draw_numbers
from engine.report.facts import Facts
from engine.report.markup import Cell, Numeric, details, matrix, paragraph, photos, picture, section, table
from engine.report.predictions import Predictions, example_names, pictures
from engine.results.contact_sheet import WHITE, Tile, draw_tiles
from engine.statistics import wilson_interval
from engine.terminal.panels import figures
from engine.wording import class_metrics, figure

MAX_CHARTS, MAX_MISTAKES, MAX_ROWS, MAX_MATRIX, FEW = 9, 16, 30, 20, 15
MAX_CLASSES = 2000
"""With more there is no confusion matrix."""

SHOWN = 152  # pixels of a photo's side
RED = (176, 36, 36)
Images = dict[str, bytes]
"""Files that are written beside the page, by name."""


def metrics_section(facts: Facts) -> str:
    """All metrics but those of single classes: at the last epoch, at the best, and in the test."""
    numbers = {name: value for name, value in facts.outcome.items() if _is_metric(name, value)}
    numbers.setdefault("epochs", None)
    numbers["best/epoch"] = facts.outcome.get("best/epoch") if facts.best else None
    columns = figures(numbers, facts.best)
    names = dict.fromkeys(n for c in columns for n in c.figures if n not in class_metrics(c.figures, facts.classes))
    rows = [[name, *(Numeric(figure(c.figures.get(name))) for c in columns)] for name in names]
    rows.sort(key=lambda row: row[0] != "loss")
    selected = "The best epoch was selected on the same examples that its values are of." if facts.best else ""
    return section("Results", table(["metric", *(c.title for c in columns)], rows, selected))


def _is_metric(name: str, value: object) -> bool:
    texts = value in ("nan", "inf", "-inf")
    known = ("seconds", "seed", "images_per_second")
    return name == "epochs" or ((isinstance(value, float) or texts) and name not in known)


def curves_section(facts: Facts, images: Images) -> str:
    found = charts(facts.curves, facts.classes)
    if not found:
        return ""
    drawing = draw_curves(found[:MAX_CHARTS], facts.epoch_ends, facts.best_step)
    images["curves.png"] = drawing.png
    said = f"Dashed: the best epoch by {facts.monitor}." if facts.best_step is not None else ""
    if len(found) > MAX_CHARTS:
        more = ", ".join(chart.title for chart in found[MAX_CHARTS:][:20])
        said += f" Not drawn: {len(found) - MAX_CHARTS} more ({more})."
    names = ", ".join(chart.title for chart in found[:MAX_CHARTS])
    return section("Curves", picture(drawing.png, f"Curves of {names}", drawing.size), paragraph(said.strip(), "faint"))


def predictions_sections(facts: Facts, images: Images) -> str:
    """What suits the network: classes, several labels, or numbers."""
    predictions = facts.predictions
    if predictions is None or not len(predictions.targets):
        return ""
    if predictions.kind == "class" and predictions.outputs.shape[1] > MAX_CLASSES:
        return _mistakes(facts, predictions, images)
    if predictions.kind == "class":
        domains, classes = _domains(facts, predictions), _classes(facts, predictions, images)
        return domains + classes + _mistakes(facts, predictions, images)
    if predictions.kind == "labels":
        return _labels(facts, predictions, images)
    drawing = draw_numbers(predictions)
    images["predictions.png"] = drawing.png
    what = f"All {predictions.targets.numel():,} outputs for the {_examples(predictions)}, {facts.shown_epoch}."
    return section(
        "Predicted and target",
        picture(drawing.png, "Predicted values against targets", drawing.size),
        paragraph(what, "faint"),
    )


def _examples(predictions: Predictions) -> str:
    split = {"val": "validation"}.get(predictions.split, predictions.split)
    return f"{len(predictions.targets):,} {split} examples"


def _domains(facts: Facts, predictions: Predictions) -> str:
    """How well the network does in each domain; nothing where there is one."""
    if not (others := facts.collector.others):
        return ""
    rows = []
    for name, found in {str(facts.datamodule.domain): predictions, **others}.items():
        right, total = int((found.predicted == found.targets).sum()), len(found.targets)
        rows.append([name, *map(Numeric, (f"{total:,}", f"{right:,}", *_share(right, total)))])
    head = ["domain", "examples", "right", "accuracy", "95 % interval"]
    split = {"val": "Validation"}.get(predictions.split, predictions.split.capitalize())
    return section("Domains", table(head, rows, f"{split} examples, {facts.shown_epoch}."))


def _share(hits: int, total: int) -> tuple[str, str]:
    """A share in percent, and its interval; empty where there are no examples."""
    if not total:
        return "", ""
    low, high = wilson_interval(hits, total, CONFIDENCE)
    return f"{hits / total:.1%}", f"{low:.1%} to {high:.1%}"


def _classes(facts: Facts, predictions: Predictions, images: Images) -> str:
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
    share, interval = _share(right, total)
    name = f"{predictions.split}/acc"
    logged = (facts.outcome if predictions.split == "test" else facts.best or facts.outcome).get(name)
    counted = ""
    if isinstance(logged, float) and abs(logged - right / total) > 1e-6:
        counted = f" {name}, {logged:.1%}, is counted otherwise, such as the mean over several networks."
    return (
        f"{right:,} of {total:,} right ({share}, 95 % interval {interval}): {_examples(predictions)}, "
        f"{facts.shown_epoch}. Rows are true classes, columns predicted ones; percentages are of the row.{counted}"
    )


def _class_tables(counts: np.ndarray, classes: Sequence[str]) -> list[str]:
    """A row per class; of many classes first those of lowest recall."""
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
        rows.append([name, *map(Numeric, (f"{total:,}", f"{right:,}", *_share(right, total), precision))])
    return rows


def _mistakes(facts: Facts, predictions: Predictions, images: Images) -> str:
    positions, classes, split = predictions.mistakes(MAX_MISTAKES), facts.classes, predictions.split
    if not positions:
        return section("Most confident mistakes", paragraph("There are none."))
    names = example_names(facts.datamodule, split, positions)
    seen = pictures(facts.datamodule, split, positions, predictions.targets)
    rows = []
    for position in positions:
        predicted, target = int(predictions.predicted[position]), int(predictions.targets[position])
        rows.append((predicted, f"{predictions.outputs[position, predicted]:.1%}", target))
    title = "Most confident mistakes"
    if not seen:
        lines = [[name, classes[p], said, classes[t]] for name, (p, said, t) in zip(names, rows, strict=True)]
        return section(title, table(["example", "predicted", "probability", "true class"], lines))
    tiles = [
        Tile(
            image,
            (f"{classes[p]} {said}", f"is {classes[t]}", name),
            RED,
            WHITE,
        )
        for image, name, (p, said, t) in zip(seen, names, rows, strict=True)
    ]
    images["mistakes.png"] = _encoded(draw_tiles(tiles, columns=4, size=14), "PNG", compress_level=2)
    captions = [(f"{classes[p]} {said}", f"is {classes[t]}", n) for n, (p, said, t) in zip(names, rows, strict=True)]
    small = [_encoded(image, "JPEG", quality=88) for image in seen]
    shown = [
        (picture(data, f"{name}, taken for {caption[0]}", (SHOWN, SHOWN)), caption)
        for data, caption, name in zip(small, captions, names, strict=True)
    ]
    return section(title, photos(shown))


def _labels(facts: Facts, predictions: Predictions, images: Images) -> str:
    labels, outputs, targets = facts.classes, predictions.outputs, predictions.targets
    drawing = draw_labels(predictions, labels)
    images["labels.png"] = drawing.png
    precisions = multilabel_average_precision(outputs, targets.long(), outputs.shape[1], average="none")
    rows = []
    for number, name in enumerate(labels):
        said, true = outputs[:, number] > 0.5, targets[:, number]
        hits, claims, cases = (int(x.sum()) for x in (said & true, said, true))
        precision = f"{hits / claims:.1%}" if claims else "never predicted"
        right = f"{int((said == true).sum()) / len(true):.1%}"
        average = f"{float(precisions[number]):.1%}" if cases else ""
        rows.append([name, *map(Numeric, (f"{cases:,}", *_share(hits, cases), precision, right, average))])
    head = ["label", "applies to", "recall", "95 % interval", "precision", "right", "average precision"]
    what = f"{_examples(predictions)}, {facts.shown_epoch}, at a threshold of 0.5."
    if len(labels) > MAX_PANELS:
        what += f" Drawn are the first {MAX_PANELS} labels of {len(labels):,}."
    return section("Labels", table(head, rows, what), picture(drawing.png, "Probabilities per label", drawing.size))


def _encoded(image: Image.Image, kind: str, **settings: int) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, kind, **settings)
    return file.getvalue()


def confusion_csv(facts: Facts) -> list[list[object]] | None:
    """The counts with the classes' names, true classes as rows; None for other results."""
    predictions = facts.predictions
    if predictions is None or predictions.kind != "class" or predictions.outputs.shape[1] > MAX_CLASSES:
        return None
    counts: torch.Tensor = predictions.confusion()
    rows = [[name, *row] for name, row in zip(facts.classes, counts.tolist(), strict=True)]
    return [["true \\ predicted", *facts.classes], *rows]
