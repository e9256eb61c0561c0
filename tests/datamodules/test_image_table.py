"""A table of photos, from training to evaluation and prediction."""

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import RunTrain, metrics_of, only_run, run_script

SETTINGS = (
    *("experiment=transfer_feature_extractor", "datamodule=image_table", "network=timm", "network.name=test_resnet"),
    *("network.pretrained=false", "datamodule.image_size=32", "datamodule.num_workers=0", "trainer=cpu"),
    *("trainer.max_epochs=2", "datamodule.test_fraction=0.25", "datamodule.val_fraction=0.25"),
)


@pytest.fixture
def table(data_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "insects.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows(
            [str(photo), photo.parent.name] for photo in sorted((data_dir / "hymenoptera_data").rglob("*.jpg"))
        )
    return path


def test_a_table_from_training_to_prediction(table: Path, run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train(*SETTINGS, "datamodule.table=insects.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    metrics = metrics_of(run)
    assert metrics["data"]["name"] == "insects"
    assert "14 train, 6 val, 8 test" in done.stdout
    assert "test/acc" in metrics
    own = run_script("evaluate.py", f"run={run}", "split=test", cwd=tmp_path)
    assert own.returncode == 0, own.stderr
    assert json.loads((run / "evaluation_test_best.json").read_text())["test/acc"] == metrics["test/acc"]
    with (run / "evaluation_test_best.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = sum(row["truth"] == row["class"] for row in rows)
    assert metrics["test/acc"] == pytest.approx(right / len(rows))

    part = tmp_path / "part.csv"
    part.write_text("".join(table.read_text().splitlines(keepends=True)[:6]))  # of one class alone
    other = run_script("evaluate.py", f"run={run}", "datamodule.table=part.csv", cwd=tmp_path)
    assert other.returncode == 0, other.stderr
    assert json.loads((run / "evaluation_part_val_best.json").read_text())["data"]["counts"] == {"val": 5}


def test_a_missing_table(run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train(*SETTINGS, "datamodule.table=none.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "none.csv" in done.stderr
    assert "Traceback" not in done.stderr
