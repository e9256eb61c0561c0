"""What a run's recipe is worth on photos that chose nothing."""

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import Train, run_script

SMALL = ("network=timm", "network.name=test_resnet", "network.pretrained=false", "trainer.max_epochs=3")


def test_it_judges_a_finished_run_by_other_photos(run_dir: Path) -> None:
    home = run_dir.parents[2]
    done = run_script("evaluate.py", f"run={run_dir}", "split=cross_validation", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "nested_acc: the best epoch is chosen on other photos" in " ".join(done.stdout.split())
    found = json.loads((run_dir / "evaluation_cross_validation.json").read_text())
    assert found["data"]["counts"] == {"photos": 28, "folds": 10, "repeats": 5}
    heads = found["heads"]
    assert len(heads) == 50
    assert found["val/nested_acc"] == pytest.approx(sum(head["acc"] for head in heads) / 50)
    with (run_dir / "evaluation_cross_validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 28
    before = (run_dir / "evaluation_cross_validation.json").read_bytes()
    again = run_script("evaluate.py", f"run={run_dir}", "split=cross_validation", cwd=home)
    assert again.returncode == 0, again.stderr
    assert (run_dir / "evaluation_cross_validation.json").read_bytes() == before
    page = run_script("report.py", f"run={run_dir}", cwd=home)
    assert page.returncode == 0, page.stderr
    assert f"{found['val/nested_acc']:.1%}" in (run_dir / "report.html").read_text()


@pytest.mark.parametrize(
    ("overrides", "refusal"),
    [
        (("experiment=transfer_finetune", "trainer.max_epochs=1"), "datamodule.test_fraction=0.2"),
        (("experiment=transfer_cross_validation", "features.num_folds=2"), "is a cross-validation itself"),
    ],
)
def test_it_refuses_a_run_that_has_no_head_to_train_apart(
    overrides: tuple[str, ...], refusal: str, tmp_path: Path, data_dir: Path, train_here: Train
) -> None:
    directory = train_here(tmp_path, *SMALL, *overrides, f"datamodule.data_dir={data_dir}")
    before = sorted(directory.iterdir())
    done = run_script("evaluate.py", f"run={directory}", "split=cross_validation", cwd=tmp_path)
    assert done.returncode == 1
    assert refusal in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(directory.iterdir()) == before
