"""A page is written whatever a directory holds, and never at the cost of the run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.report import page
from engine.report.write import report
from tests.conftest import Train, metrics_of, run_script
from tests.engine.pages.test_markup import HOSTILE, Checked
from tests.test_foreign import options

TEXT = HOSTILE.replace("\x1b", "\\x1b")


@pytest.fixture
def stolen(run_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_dir, tmp_path / "run"))


def test_a_run_of_photos(run_dir: Path) -> None:
    """With the files' names, the figures of metrics.json, and the same page when it is made again."""
    text, metrics = (run_dir / "report.html").read_text(), metrics_of(run_dir)
    assert Checked(text).wrong == []
    for name in ("val/acc", "val/loss", "train/acc"):
        assert f">{metrics[name]:.4g}</td>" in text
    right = round(metrics["best/val/acc"] * 12)
    assert f"{right} of 12 right ({right / 12:.1%}, 95 % interval " in text
    if right < 12:
        assert "hymenoptera_data/val/" in text or "val/ants/" in text or "val/bees/" in text
    assert "The first training batch, as the network sees it:" in text


def test_no_failure_of_the_page_fails_the_run(
    tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no ink\nat all")

    monkeypatch.setattr(page, "write_page", fail)
    directory = train_here(tmp_path, "experiment=regression_adam", "trainer=cpu", "trainer.max_epochs=1")
    assert metrics_of(directory)["status"] == "completed"
    assert capsys.readouterr().err == "report.html could not be written (RuntimeError: no ink).\n"


def test_a_run_that_was_stopped_once_all_was_trained(stolen: Path, train_here: Train) -> None:
    """Resumed, it has nothing left to train, and its page shows what the network predicts all the same."""
    metrics = json.loads((stolen / "metrics.json").read_text())
    (stolen / "metrics.json").write_text(json.dumps({**metrics, "status": "interrupted"}))
    for name in ("report.html", "confusion_matrix.csv", "mistakes.png"):
        (stolen / name).unlink(missing_ok=True)
    train_here(stolen.parent, f"resume={stolen}")
    assert metrics_of(stolen)["status"] == "completed"
    assert "Confusion matrix" in (stolen / "report.html").read_text()
    assert (stolen / "confusion_matrix.csv").is_file()


def test_a_network_without_its_data(stolen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = stolen / "config.yaml"
    config.write_text(config.read_text().replace("data_dir: ", f"data_dir: {tmp_path}/gone # "))
    text = report(stolen).read_text()
    assert "What the network predicts is not shown: " in text
    assert "What the network predicts is not shown: " in capsys.readouterr().err
    assert "Confusion matrix" not in text
    assert "<h2>Curves</h2>" in text


def test_a_run_that_failed_before_its_first_checkpoint(stolen: Path) -> None:
    shutil.rmtree(stolen / "checkpoints")
    (stolen / "metrics.json").write_text(json.dumps({"status": "failed", "error": f"UserError: {HOSTILE}"}))
    for file in stolen.rglob("events*"):
        file.unlink()
    page = Checked(report(stolen).read_text())
    assert page.wrong == []
    assert f"This run failed: UserError: {TEXT}" in page.texts
    assert "The run left no checkpoint." in page.texts
    assert "No metric was logged." in page.texts
    assert "Curves" not in page.texts


def test_whatever_a_stranger_wrote(stolen: Path) -> None:
    """Names and values are shown and do not act; what no run writes is left out."""
    metrics = metrics_of(stolen) | {HOSTILE: 0.5, f"val/{HOSTILE}": 0.25, "best/epoch": 10**400, "x": [1]}
    metrics |= {"git": HOSTILE, "machine": HOSTILE, "network": {"name": HOSTILE, "substitute_for": HOSTILE}}
    metrics |= {"data": {"name": HOSTILE, "source": "stand-in"}, "counts": {HOSTILE: 3, "val": True}}
    (stolen / "metrics.json").write_text(json.dumps(metrics))
    (stolen / "metrics.csv").write_text(f"step,name,value\n1,val/{HOSTILE.replace(chr(34), '')},0.5\nx\n2,a,b,c\n")
    (stolen / "events.out.tfevents.9").write_bytes(b"\xff" * 99)
    (stolen / ".hydra" / "overrides.yaml").write_text(json.dumps([f"x={HOSTILE}", "experiment=../../x", 3]))
    shutil.rmtree(stolen / "checkpoints")
    text = report(stolen).read_text()
    found = Checked(text)
    assert found.wrong == []
    assert not found.tags & {"b", "script"}
    assert "\x1b" not in text
    assert TEXT in found.texts
    first, second = (part.partition("</p>")[0] for part in text.split('<p class="notice">')[1:3])
    assert first.startswith("STAND-IN DATA: ")
    assert second.startswith("SUBSTITUTE WEIGHTS: ")
    assert text.index("SUBSTITUTE") < text.index("<h1>")


@pytest.mark.parametrize("place", ["metrics.json", "events.out.tfevents.9", "report.html", "curves.png"])
def test_links_are_refused(place: str, stolen: Path, tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("mine")
    (stolen / place).unlink(missing_ok=True)
    (stolen / place).symlink_to(tmp_path / "canary")
    with pytest.raises(UserError, match=f"{place} is a link"):
        report(stolen)
    assert (tmp_path / "canary").read_text() == "mine"


def test_a_run_without_validation(tmp_path: Path, train_here: Train) -> None:
    """What has no content has no section."""
    config = options(tmp_path, "tests.test_foreign.FromDictionaries", "tests.test_foreign.Dictionaries")
    directory = train_here(tmp_path, "experiment=foreign", "+lightning_module.lr=0.1", "monitor=null", config=config)
    found = Checked((directory / "report.html").read_text())
    assert found.wrong == []
    assert f"train_loss {metrics_of(directory)['train_loss']:.4g} – last epoch (2). " in "".join(found.texts)
    assert not {"Curves", "Classes", "Confusion matrix", "Most confident mistakes"} & set(found.texts)


def test_sweeps_make_none_on_their_own(tmp_path: Path) -> None:
    settings = ("experiment=regression_adam", "trainer=cpu", "trainer.max_epochs=1", "seed=0,1")
    done = run_script("train.py", "-m", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("report.html"))
    job = next(iter(sorted(path.parent for path in tmp_path.rglob("config.yaml"))))
    assert run_script("report.py", f"run={job}", cwd=tmp_path).returncode == 0
    assert "<h2>Predicted and target</h2>" in (job / "report.html").read_text()
    assert f'href="{job.name}/report.html"' in (job.parent / "sweep.html").read_text(), "the sweep's page leads there"


def test_what_the_datas_check_found(stolen: Path) -> None:
    (stolen / "train.log").write_text(
        "[2026-11-26 17:54:19,267][engine.photos.layouts.class_folders][INFO] - Left out: 1, such as <b>.gif.\n"
        "[2026-11-26 17:54:26,323][engine.features.features][INFO] - Features of 641 images.\n"
        "[2026-11-26 17:54:27,323][engine.build][WARNING] - No weights.\n"
    )
    texts = Checked(report(stolen).read_text()).texts
    assert {"Left out: 1, such as <b>.gif.", "No weights."} <= set(texts)
    assert "Features of 641 images." not in texts


def test_the_best_epochs_predictions_are_those_of_its_own_validation(
    tiny: tuple[str, ...], train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further validation is needed; report.py, which makes one, writes the same page."""

    def fail(*arguments: object) -> None:
        raise AssertionError("another validation")

    settings = ("network=timm", "network.name=test_resnet", "network.pretrained=false", "optimizer.lr=0.05")
    with monkeypatch.context() as patch:
        patch.setattr("engine.results.evaluation.trainer_for_evaluation", fail)
        run = train_here(tmp_path, *tiny, *settings, "trainer.max_epochs=4")
    monkeypatch.chdir(tmp_path)
    page, matrix = ((run / name).read_bytes() for name in ("report.html", "confusion_matrix.csv"))
    report(run)
    assert (run / "confusion_matrix.csv").read_bytes() == matrix
    assert (run / "report.html").read_bytes() == page
