"""A refused run leaves nothing behind."""

from pathlib import Path
from typing import Any

import pytest

from engine.run.refused import leave_refused
from tests.conftest import RunTrain, metrics_of

FAILED: dict[str, Any] = {"status": "failed", "error": "UserError: no"}


def a_run(directory: Path) -> Path:
    (directory / ".hydra").mkdir(parents=True)
    for name in ("config.yaml", "metrics.json", "train.log", ".lock", ".hydra/config.yaml", ".hydra/overrides.yaml"):
        (directory / name).write_text("")
    return directory


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    directory = a_run(tmp_path / "logs" / "lenet_nll" / "2026")
    leave_refused(directory, FAILED)
    assert not list(tmp_path.iterdir())


def test_folders_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs" / "other").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    for directory in (tmp_path / "logs" / "lenet_nll" / "2026", elsewhere / "mine"):
        leave_refused(a_run(directory), FAILED)
        assert not directory.exists()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["other"]
    assert elsewhere.is_dir()


@pytest.mark.parametrize("name", ["thesis.tex", "events.out.tfevents.1700000000.elsewhere.1.0"])
def test_what_a_run_has_not_written_stays(name: str, tmp_path: Path) -> None:
    directory = a_run(tmp_path / "run")
    (directory / name).write_text("mine")
    leave_refused(directory, FAILED)
    assert metrics_of(directory) == FAILED
    assert (directory / name).read_text() == "mine"
    leave_refused(tmp_path / "none", FAILED)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("experiment=lenet_nll", "optimizer.lr="), "optimizer.lr=: has no value; it must be a number"),
        (("datamodule.data_dir={data}/hymenoptera_data/train/ants",), "did you mean {data}/hymenoptera_data?"),
        (
            ("experiment=lenet_nll", "network.in_channels=3"),
            "network=lenet does not take inputs of shape (1, 32, 32), which digits has (",
        ),
        (  # found once the data are loaded
            ("experiment=lenet_nll", "trainer=cpu", "trainer.limit_train_batches=0.0001"),
            "trainer.limit_train_batches=0.0001 leaves none of the train split's batches",
        ),
    ],
)
def test_as_a_process(
    arguments: tuple[str, ...], says: str, run_train: RunTrain, tmp_path: Path, data_dir: Path
) -> None:
    done = run_train(*(text.format(data=data_dir) for text in arguments), cwd=tmp_path)
    assert done.returncode == 1
    assert says.format(data=data_dir) in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
