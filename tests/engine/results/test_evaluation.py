"""What a run's network is worth, computed once more: the run's own figures, to the bit."""

import shutil
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.results.evaluation import Evaluation, evaluate
from tests.conftest import Train, metrics_of

SMALL = ("network=timm", "network.name=test_resnet", "network.pretrained=false")
SHORT = ("trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=0.3")
FINETUNE = (*SMALL, "experiment=transfer_finetune", "trainer.max_epochs=2", "optimizer.lr=0.01")
KINDS: dict[str, tuple[str, ...]] = {
    "photos": FINETUNE,
    "photos in bf16, channels-last": (*FINETUNE, "trainer.precision=bf16-mixed", "channels_last=true"),
    "frozen, without a cache": (*SMALL, "cache=false", "trainer.max_epochs=2", "optimizer.lr=0.01"),
    "cross-validation": (
        *SMALL,
        "experiment=transfer_cross_validation",
        "features.num_folds=2",
        "trainer.max_epochs=2",
    ),
    "in memory": ("experiment=lenet_nll", *SHORT),
    "numbers": ("experiment=regression_two_layer_net", *SHORT),
}


def evaluated(directory: Path, split: str, checkpoint: str, *overrides: str) -> Evaluation:
    evaluation = evaluate(directory, split=split, checkpoint=checkpoint, overrides=overrides)
    assert evaluation is not None
    return evaluation


@pytest.fixture
def at_home(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the run was started, and where its features therefore lie."""
    monkeypatch.chdir(run_dir.parents[2])


def check_figures(directory: Path) -> None:
    expected = metrics_of(directory)
    last = evaluated(directory, "val", "last").metrics
    assert last == {name: value for name, value in expected.items() if name.startswith("val/")}
    (monitored,) = (name for name in expected if name.startswith("best/") and name != "best/epoch")
    best = evaluated(directory, "val", "best")
    assert best.metrics[monitored.removeprefix("best/")] == expected[monitored]
    assert best.trained.content["epoch"] + 1 == expected["best/epoch"]
    if test := {name: value for name, value in expected.items() if name.startswith("test/")}:
        assert evaluated(directory, "test", "best").metrics == test


@pytest.mark.usefixtures("at_home")
def test_features_give_the_runs_own_figures(run_dir: Path) -> None:
    check_figures(run_dir)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_gives_its_own_figures(
    kind: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KINDS[kind]
    directory = train_here(tmp_path, *(() if SHORT[0] in settings else tiny), *settings)
    monkeypatch.chdir(tmp_path)
    check_figures(directory)


def test_features_that_are_gone_are_computed_again(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_figures(run_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("layout", ["as the run's own", "class folders", "train and val"])
def test_other_data_of_the_same_classes(layout: str, run_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    own = data_dir / "hymenoptera_data"
    other = tmp_path / "hymenoptera_data" if layout == "as the run's own" else tmp_path
    source = own / "val" if layout == "class folders" else own
    shutil.copytree(source, other, dirs_exist_ok=True)
    for ant in sorted(other.glob("val/ants/*.jpg"))[:2]:
        ant.unlink()
    evaluation = evaluated(run_dir, "val", "best", f"datamodule.data_dir={tmp_path}")
    assert evaluation.data["counts"]["val"] == (6 + 6 if layout == "class folders" else 4 + 6)
    assert evaluation.data["part"] == ("all" if layout == "class folders" else "val")
    assert evaluation.elsewhere
    (of_class,) = {len(rows) for rows in (evaluation.photos, [row for row in evaluation.photos if row.file.is_file()])}
    right = sum(row.probabilities.index(max(row.probabilities)) == row.label for row in evaluation.photos)
    assert evaluation.metrics["val/acc"] == pytest.approx(right / of_class)
    assert evaluation.data["data_dir"] == str(tmp_path)
    assert evaluation.metrics["val/loss"] != metrics_of(run_dir)["val/loss"]


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("classes", [("ants", "wasps"), ("ants", "bees", "wasps")])
def test_data_of_other_classes_is_refused(
    classes: tuple[str, ...], run_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    for name in classes:
        shutil.copytree(data_dir / "hymenoptera_data" / "val" / "ants", tmp_path / name)
    with pytest.raises(
        UserError, match=f"has the classes {', '.join(classes)}, where the run learned ants, bees: leave"
    ):
        evaluated(run_dir, "val", "best", f"datamodule.data_dir={tmp_path}")


@pytest.mark.usefixtures("at_home")
def test_splits_that_are_not_there(run_dir: Path) -> None:
    with pytest.raises(UserError, match=r"^split=train: choose from val, test, cross_validation\.$"):
        evaluated(run_dir, "train", "best")
    with pytest.raises(UserError, match=r"^split=test: hymenoptera has no such split"):
        evaluated(run_dir, "test", "best")


@pytest.mark.usefixtures("at_home")
def test_nothing_is_drawn_for_a_run_on_real_data(run_dir: Path, tmp_path: Path) -> None:
    from engine.errors import DataError

    with pytest.raises(DataError, match="hymenoptera_data does not exist, and"):
        evaluated(run_dir, "val", "best", f"datamodule.data_dir={tmp_path}")
    assert not list(tmp_path.rglob("*.jpg"))
