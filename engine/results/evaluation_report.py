"""Prints and saves the results of an evaluation."""

import itertools
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.errors import UserError, printable
from engine.files import replace_text
from engine.results.calibration import FILE, calibrate, keep
from engine.results.evaluation import Evaluation
from engine.results.prediction_files import prediction_file
from engine.run.outcome import MAX_BYTES, outcome, read_json
from engine.wording import class_metrics, figure, markup

NESTED = (
    "nested_acc: the best epoch is chosen on other photos than it is evaluated on (in the run: on the same); "
    "acc: the last epoch. 95 % intervals for overlapping training parts (Nadeau and Bengio 2003)"
)


def report(evaluation: Evaluation) -> None:
    """Prints the metrics, and writes them and a table of the photos to the run directory."""
    path = _path(evaluation)
    replace_text(path, json.dumps(contents(evaluation), indent=2) + "\n")
    console = Console()
    console.print(table(evaluation))
    paths = [path]
    if evaluation.photos:
        paths.append(path.with_suffix(".csv"))
        classes = evaluation.trained.data["classes"]
        with prediction_file(paths[-1], classes, has_truth=True) as write:
            for file, label, probabilities in evaluation.photos:
                write(
                    file,
                    classes[max(range(len(classes)), key=probabilities.__getitem__)],
                    probabilities,
                    classes[label],
                )
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False, markup=False)


def report_calibration(evaluation: Evaluation) -> None:
    """Fits a temperature on the run's own photos, saves it in the run directory, and prints its effect.

    UserError for other data, or a run without known photos and classes.
    """
    if evaluation.elsewhere or evaluation.heads or not evaluation.photos:
        raise UserError("calibrate=true: needs the run's own photos, with one class each.")
    trained = evaluation.trained
    found = calibrate(
        evaluation.photos,
        checkpoint=trained.checkpoint,
        epoch=trained.content["epoch"],
        split=evaluation.split,
    )
    keep(found, trained.directory)
    unchanged = ", as these photos do not show that the probabilities are wrong" if found.temperature == 1 else ""
    print(
        f"temperature {found.temperature:.3g}{unchanged}: expected calibration error {found.ece_before:.3f} before, "
        f"{found.ece_held_out:.3f} after, on photos that it was not fitted on ({found.photos:,}, in two halves)"
    )
    print(printable(trained.directory / FILE))


def _path(evaluation: Evaluation) -> Path:
    """The file in the run directory, named after split and checkpoint, and after data that is not the run's own."""
    directory, end = evaluation.trained.directory, f"{evaluation.split}_{evaluation.trained.checkpoint}"
    if evaluation.heads:  # retrained, not from a checkpoint
        return directory / f"evaluation_{evaluation.split}.json"
    if not evaluation.elsewhere:
        return directory / f"evaluation_{end}.json"
    name = re.sub(r"[^\w-]+", "_", evaluation.data["name"])[:60]
    for number in itertools.count(1):
        path = directory / f"evaluation_{name}_{end}{f'_{number}' if number > 1 else ''}.json"
        if not path.is_file():
            break
        data = read_json(path, MAX_BYTES, dict).get("data", {})
        if all(
            data.get(key) == evaluation.data.get(key) for key in ("data_dir", "table")
        ):  # not another folder with the same name
            break
    return path


def contents(evaluation: Evaluation) -> dict[str, Any]:
    """The metrics by their TensorBoard names, as in metrics.json, and how they were computed."""
    trained = evaluation.trained
    return evaluation.metrics | {
        "split": evaluation.split,
        "checkpoint": trained.checkpoint,
        "epoch": trained.content["epoch"] + 1,
        "overrides": evaluation.overrides,
        "data": evaluation.data,
        "torch": version("torch"),
        "lightning": version("pytorch-lightning"),
        **({"heads": evaluation.heads} if evaluation.heads else {}),
    }


def table(evaluation: Evaluation) -> Table:
    """One row per metric, per-class metrics last, with the run's own figures if they are for the same data."""
    trained, data = evaluation.trained, evaluation.data
    drawn = Table(
        title=markup(f"{data.get('part', evaluation.split)}: {_counted(evaluation)}{data['name']} ({data['source']})"),
        caption=NESTED
        if evaluation.heads
        else f"{trained.checkpoint} checkpoint, epoch {trained.content['epoch'] + 1}",
    )
    drawn.add_column("metric")
    drawn.add_column("value", justify="right")
    drawn.add_column("in the run", justify="right")
    run_figures = figures_of_the_run(evaluation)
    of_classes = class_metrics(evaluation.metrics, trained.data["classes"])
    overall = [name for name in evaluation.metrics if name not in of_classes]
    for name in [*overall, *of_classes]:
        value, run_value = evaluation.metrics[name], run_figures.get(name)
        shown = "" if run_value is None else "the same" if run_value == value else figure(run_value)
        drawn.add_row(markup(name), figure(value), shown, end_section=name == overall[-1])
    return drawn


def _counted(evaluation: Evaluation) -> str:
    """`153 of `, the number of examples, if it is known and not limited to some batches."""
    count = evaluation.data["counts"].get(evaluation.split)
    limited = evaluation.trained.config.trainer.get(f"limit_{evaluation.split}_batches") is not None
    return "" if count is None or limited else f"{count:,} of "


def figures_of_the_run(evaluation: Evaluation) -> dict[str, Any]:
    """The metrics in metrics.json of the same checkpoint on the same data, by the names used here."""
    trained = evaluation.trained
    content = outcome(trained.directory)
    if evaluation.heads:
        return {"val/nested_acc": content.get("best/val/acc"), "val/acc": content.get("val/acc")}
    if (
        evaluation.overrides
        or evaluation.elsewhere
        or content.get("data", {}).get("source") != evaluation.data["source"]
    ):
        return {}
    if trained.checkpoint == "last":
        return {name: value for name, value in content.items() if name.startswith("val/")}
    monitored = trained.config.monitor.metric
    best = {monitored: content.get(f"best/{monitored}")}
    return best | {name: value for name, value in content.items() if name.startswith("test/")}
