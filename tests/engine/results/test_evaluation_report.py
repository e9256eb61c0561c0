import json
from pathlib import Path

import pytest
from rich.console import Console

from engine.results.evaluation import Evaluation
from engine.results.evaluation_report import contents, figures_of_the_run, report, table
from engine.run.trained import load_trained
from tests.conftest import metrics_of

DATA = {"name": "hymenoptera", "source": "local", "counts": {"train": 16, "val": 12}}


@pytest.fixture
def evaluation(run_dir: Path) -> Evaluation:
    best = metrics_of(run_dir)["best/val/acc"]
    metrics = {"val/loss": 0.5, "val/acc_ants": 0.25, "val/acc": best, "val/acc_bees": "nan"}
    return Evaluation(load_trained(run_dir, "best"), "val", [], metrics, DATA)


def shown(evaluation: Evaluation) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(evaluation))
    return capture.get()


def test_table_has_a_row_a_metric_and_the_classes_last(evaluation: Evaluation) -> None:
    text = shown(evaluation)
    assert "val: 12 of hymenoptera (local)" in text
    assert f"best checkpoint, epoch {evaluation.trained.content['epoch'] + 1}" in text
    lines = text.splitlines()
    position = {name: next(i for i, line in enumerate(lines) if f" {name} " in line) for name in evaluation.metrics}
    assert sorted(position, key=position.__getitem__) == ["val/loss", "val/acc", "val/acc_ants", "val/acc_bees"]
    assert "0.25" in lines[position["val/acc_ants"]]
    assert "nan" in lines[position["val/acc_bees"]]
    assert [line for line in lines if "the same" in line] == [lines[position["val/acc"]]]


def test_a_figure_that_is_not_the_runs_stands_beside_it(evaluation: Evaluation) -> None:
    evaluation.metrics["val/acc"] = 2.0
    assert "the same" not in shown(evaluation)
    assert f"{metrics_of(evaluation.trained.directory)['best/val/acc']:.4g} " in shown(evaluation)


def test_other_data_is_not_compared(evaluation: Evaluation) -> None:
    assert figures_of_the_run(evaluation)
    other = Evaluation(evaluation.trained, "val", ["datamodule.data_dir=x"], evaluation.metrics, DATA)
    assert not figures_of_the_run(other)
    drawn = Evaluation(evaluation.trained, "val", [], evaluation.metrics, DATA | {"source": "stand-in"})
    assert not figures_of_the_run(drawn)


def test_the_last_checkpoint_is_compared_with_the_last_validation(evaluation: Evaluation, run_dir: Path) -> None:
    last = Evaluation(load_trained(run_dir, "last"), "val", [], evaluation.metrics, DATA)
    expected = {name: value for name, value in metrics_of(run_dir).items() if name.startswith("val/")}
    assert figures_of_the_run(last) == expected


def test_report_writes_what_it_shows(evaluation: Evaluation, run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(evaluation)
    file = run_dir / "evaluation_val_best.json"
    assert capsys.readouterr().out.endswith(f"{file}\n")
    content = json.loads(file.read_text())
    file.unlink()
    assert content == contents(evaluation)
    assert content.items() >= evaluation.metrics.items()
    assert content["data"] == DATA
    assert (content["split"], content["checkpoint"], content["overrides"]) == ("val", "best", [])
