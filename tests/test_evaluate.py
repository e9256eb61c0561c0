"""`python evaluate.py` as a user runs it, in a process of its own."""

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import metrics_of, run_script

HEAVY = ("hydra", "torch", "torchvision", "pytorch_lightning", "lightning_fabric", "timm", "numpy", "tensorboard")


def test_the_runs_own_figures_to_the_bit(run_dir: Path) -> None:
    done = run_script("evaluate.py", f"run={run_dir}", "checkpoint=last", cwd=run_dir.parents[2])
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    file = run_dir / "evaluation_val_last.json"
    evaluation = json.loads(file.read_text())
    file.unlink()
    file.with_suffix(".csv").unlink()
    expected = {name: value for name, value in metrics_of(run_dir).items() if name.startswith("val/")}
    assert {name: value for name, value in evaluation.items() if "/" in name} == expected
    for name in expected:
        (line,) = (line for line in done.stdout.splitlines() if f" {name} " in line)
        assert "the same" in line
    assert done.stdout.splitlines()[-2:] == [str(file), str(file.with_suffix(".csv"))]


def test_other_data(run_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    """What is no key of conf/evaluate.yaml is one of the run's config."""
    arguments = (f"run={run_dir}", f"datamodule.data_dir={data_dir}/hymenoptera_data/train")
    done = run_script("evaluate.py", *arguments, cwd=run_dir.parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        str(run_dir / f"evaluation_train_val_best.{kind}") for kind in ("json", "csv")
    ]
    evaluation = json.loads((run_dir / "evaluation_train_val_best.json").read_text())
    with (run_dir / "evaluation_train_val_best.csv").open() as file:
        rows = list(csv.DictReader(file))
    for kind in ("json", "csv"):
        (run_dir / f"evaluation_train_val_best.{kind}").unlink()
    right = sum(row["class"] == row["truth"] == Path(row["path"]).parent.name for row in rows)
    assert evaluation["val/acc"] == pytest.approx(right / len(rows))
    assert len(rows) == 16
    seen = run_script(
        "predict.py", f"run={run_dir}", f"input={data_dir}/hymenoptera_data/train", "output=seen.csv", cwd=tmp_path
    )
    assert seen.stdout.splitlines()[1] == f"accuracy {right / 16:.4f}: {right} of 16 are in the folder of their class"
    with (tmp_path / "seen.csv").open() as file:
        predicted = list(csv.DictReader(file))
    assert [(row["path"], row["truth"], row["class"]) for row in predicted] == [
        (row["path"], row["truth"], row["class"]) for row in rows
    ]
    for row, other in zip(rows, predicted, strict=True):
        assert float(row["p_ants"]) == pytest.approx(float(other["p_ants"]), abs=1e-5)
    assert evaluation["data"]["name"] == "train"
    assert evaluation["overrides"] == [arguments[1]]


def test_help_and_a_missing_run_import_no_torch(tmp_path: Path) -> None:
    for script in ("evaluate.py", "predict.py", "export.py"):
        shown = run_script(script, "--help", cwd=tmp_path, options=("-X", "importtime"))
        assert shown.returncode == 0, shown.stderr
        assert f"python {script} run=DIR" in shown.stdout
        imported = {line.rpartition("|")[2].strip().split(".")[0] for line in shown.stderr.splitlines()}
        assert "omegaconf" in imported
        assert not imported & set(HEAVY)
        missing = run_script(script, cwd=tmp_path)
        assert missing.returncode == 1
        assert missing.stderr == "Give run=…, the directory of a run, logs/<experiment>/<time>.\n"
    assert not list(tmp_path.iterdir())
