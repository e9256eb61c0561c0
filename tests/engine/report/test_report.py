"""report.html as a run leaves it, and as report.py writes it again."""

import csv
from pathlib import Path

import pytest

from tests.conftest import RunTrain, metrics_of, only_run, run_script
from tests.engine.pages.test_markup import Checked

SHORT = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=2")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, run_train: RunTrain) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    done = run_train(*SHORT, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return only_run(folder)


def test_the_page_of_a_run(digits: Path) -> None:
    text = (digits / "report.html").read_text()
    page, metrics = Checked(text), metrics_of(digits)
    assert page.wrong == []
    assert "script" not in page.tags
    assert "http" not in text
    assert len(text) < 2_000_000
    assert f"test/acc {metrics['test/acc']:.1%} of 360 (95 % interval " in text
    assert "selected on these validation examples by val/loss" in text
    for name in ("loss", "acc"):
        for split in ("train", "val", "test"):
            assert f">{metrics[f'{split}/{name}']:.4g}</td>" in text
    assert metrics["git"].removesuffix("-dirty") in text
    assert "python train.py experiment=lenet_nll trainer=cpu trainer.max_epochs=2" in text
    assert "<td>trainer.max_epochs</td><td>30</td><td>2</td>" in text


def test_its_images_and_the_confusion_matrix(digits: Path) -> None:
    for name in ("curves.png", "confusion_matrix.png", "mistakes.png"):
        assert (digits / name).read_bytes().startswith(b"\x89PNG")
    head, *rows = list(csv.reader((digits / "confusion_matrix.csv").read_text().splitlines()))
    assert head == ["true \\ predicted", *map(str, range(10))]
    counts = [[int(cell) for cell in row[1:]] for row in rows]
    assert sum(map(sum, counts)) == 360
    metrics = metrics_of(digits)
    assert sum(counts[i][i] for i in range(10)) / 360 == pytest.approx(metrics["test/acc"], abs=1e-6)
    for i in range(10):
        assert counts[i][i] / sum(counts[i]) == pytest.approx(metrics[f"test/acc_{i}"], abs=1e-6)


def test_it_is_written_again_from_the_directory(digits: Path) -> None:
    before = (digits / "report.html").read_text()
    (digits / "report.html").unlink()
    done = run_script("report.py", f"run={digits}", cwd=digits.parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(digits / "report.html")
    assert (digits / "report.html").read_text() == before
