"""The report's sections on results."""

from torchmetrics.functional.classification import multilabel_average_precision

from engine.pages.curves import charts
from engine.pages.markup import Images, Numeric, paragraph, picture, section, table
from engine.report.classes import MAX_CLASSES, classes_sections, domains_section, examples_of, share_of
from engine.report.drawings import MAX_PANELS, draw_curves, draw_labels, draw_numbers
from engine.report.facts import Facts
from engine.report.mistakes import mistakes_section
from engine.results.outputs import Predictions
from engine.terminal.panels import figures
from engine.wording import class_metrics, figure

MAX_CHARTS = 9


def metrics_section(facts: Facts) -> str:
    """All metrics except per-class ones: at the last epoch, at the best epoch, and in the test."""
    numbers = {name: value for name, value in facts.outcome.items() if _is_metric(name, value)}
    numbers.setdefault("epochs", None)
    numbers["best/epoch"] = facts.outcome.get("best/epoch") if facts.best else None
    columns = figures(numbers, facts.best)
    names = dict.fromkeys(n for c in columns for n in c.figures if n not in class_metrics(c.figures, facts.classes))
    rows = [[name, *(Numeric(figure(c.figures.get(name))) for c in columns)] for name in names]
    rows.sort(key=lambda row: row[0] != "loss")
    is_selected = bool(facts.best) and not facts.validated_once
    selected = "The best epoch was selected on the same examples that it is evaluated on." if is_selected else ""
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
    """The sections for the network's kind of predictions: classes, several labels, or numbers."""
    predictions = facts.predictions
    if predictions is None or not len(predictions.targets):
        return ""
    if predictions.kind == "labels":
        return _labels(facts, predictions, images) + mistakes_section(facts, predictions, images)
    if predictions.kind == "class":
        few = predictions.outputs.shape[1] <= MAX_CLASSES
        tables = domains_section(facts, predictions) + classes_sections(facts, predictions, images) if few else ""
        return tables + mistakes_section(facts, predictions, images)
    drawing = draw_numbers(predictions)
    images["predictions.png"] = drawing.png
    what = f"All {predictions.targets.numel():,} outputs for the {examples_of(predictions)}, {facts.shown_epoch}."
    return section(
        "Predicted and target",
        picture(drawing.png, "Predicted values against targets", drawing.size),
        paragraph(what, "faint"),
    )


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
        rows.append([name, *map(Numeric, (f"{cases:,}", *share_of(hits, cases), precision, right, average))])
    head = ["label", "applies to", "recall", "95 % interval", "precision", "right", "average precision"]
    what = f"{examples_of(predictions)}, {facts.shown_epoch}, at a threshold of 0.5."
    if len(labels) > MAX_PANELS:
        what += f" Only the first {MAX_PANELS} of {len(labels):,} labels are drawn."
    return section("Labels", table(head, rows, what), picture(drawing.png, "Probabilities per label", drawing.size))
