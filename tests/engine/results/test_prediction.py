"""predict in this process: the run's own accuracy, whatever kind of run it is."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from engine.errors import UserError
from engine.results.prediction import Predictor, folders_of_classes, predict, true_classes
from engine.run.trained import load_trained
from tests.conftest import Train, metrics_of

SMALL = ("network=timm", "network.name=test_resnet", "network.pretrained=false", "experiment=transfer_finetune")
SHORT = ("trainer.max_epochs=1", "trainer.limit_train_batches=0.2")
SETTINGS: dict[str, Any] = {
    "output": None,
    "checkpoint": "best",
    "contact_sheet": None,
    "contact_sheet_photos": 200,
    "precision": "32",
    "tta": None,
    "model": None,
    "batch_size": None,
    "num_workers": 0,
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def accuracy(rows: list[dict[str, str]]) -> float:
    """Of photos that lie in folders of their classes' names, as torchmetrics has it: in float32."""
    right = sum(Path(row["path"]).parent.name == row["class"] for row in rows)
    return float(torch.tensor(float(right)) / len(rows))


@pytest.fixture(scope="module")
def finetuned(tiny: tuple[str, ...], train_here: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = ("trainer.max_epochs=2", "optimizer.lr=0.01", "trainer.precision=bf16-mixed", "channels_last=true")
    return train_here(tmp_path_factory.mktemp("finetuned"), *tiny, *SMALL, *settings)


@pytest.mark.parametrize("kind", ["run_dir", "finetuned"])
def test_the_validation_folder_gives_the_runs_accuracy(
    kind: str, data_dir: Path, request: pytest.FixtureRequest
) -> None:
    directory = request.getfixturevalue(kind)
    predict(directory, f"{data_dir}/hymenoptera_data/val", **SETTINGS)
    rows = rows_of(directory / "predictions.csv")
    (directory / "predictions.csv").unlink()
    assert len(rows) == 12
    assert accuracy(rows) == metrics_of(directory)["best/val/acc"]
    for row in rows:
        probabilities = {name: float(row[f"p_{name}"]) for name in ("ants", "bees")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row["class"] == max(probabilities, key=probabilities.__getitem__)


def test_the_last_checkpoint_is_another_one(run_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    predict(
        run_dir, f"{data_dir}/hymenoptera_data/val", **SETTINGS | {"checkpoint": "last", "output": f"{tmp_path}/x.csv"}
    )
    assert accuracy(rows_of(tmp_path / "x.csv")) == metrics_of(run_dir)["val/acc"]


def test_batches_and_workers_change_nothing(run_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    for name, settings in (("a", {}), ("b", {"batch_size": 4, "num_workers": 2})):
        predict(
            run_dir, f"{data_dir}/hymenoptera_data/val", **SETTINGS | settings | {"output": f"{tmp_path}/{name}.csv"}
        )
    first, second = (rows_of(tmp_path / f"{name}.csv") for name in "ab")
    for row, other in zip(first, second, strict=True):
        assert row["path"] == other["path"]
        assert float(row["p_ants"]) == pytest.approx(float(other["p_ants"]), rel=1e-3)


@pytest.mark.parametrize("experiment", ["lenet_nll", "domain_adaptation_mmd"])
def test_images_that_a_run_held_in_memory(experiment: str, train_here: Train, tmp_path: Path) -> None:
    """The run's validation digits, written as photos of several sizes, one of which is the network's own."""
    directory = train_here(tmp_path, f"experiment={experiment}", "trainer=cpu", *SHORT)
    from hydra.utils import instantiate

    trained = load_trained(directory, "best")
    datamodule = instantiate(trained.config.datamodule)
    datamodule.setup("fit")
    for index, (image, label) in enumerate(zip(*datamodule.splits["val"], strict=True)):
        folder = tmp_path / "photos" / str(int(label))
        folder.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(folder / f"{index:03d}.png")
    predict(directory, f"{tmp_path}/photos", **SETTINGS)
    rows = rows_of(directory / "predictions.csv")
    assert len(rows) == 180
    assert accuracy(rows) == metrics_of(directory)["val/acc"], "of the only epoch"
    large = to_pil_image(image).resize((320, 200))
    large.save(tmp_path / "large.jpg")
    predict(directory, f"{tmp_path}/large.jpg", **SETTINGS)
    assert len(rows_of(directory / "predictions.csv")) == 1


def test_several_labels_at_once(run_dir: Path) -> None:
    predictor = Predictor(load_trained(run_dir, "best"))
    assert predictor.label(torch.tensor([0.2, 0.8])) == "bees"
    predictor.several = True
    assert predictor.label(torch.tensor([0.6, 0.8])) == "ants+bees"
    assert predictor.label(torch.tensor([0.1, 0.2])) == ""


def test_a_network_of_several_labels_gives_each_its_own_probability(
    tiny: tuple[str, ...], train_here: Train, tmp_path: Path
) -> None:
    """The same logits, read as such a network's."""
    directory = train_here(tmp_path, *tiny, *SMALL, "trainer.max_epochs=1")
    trained = load_trained(directory, "best")
    photos = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    one = Predictor(trained)(photos)
    trained.config.lightning_module["_target_"] = "lightning_modules.multilabel_classifier.MultilabelClassifier"
    several = Predictor(trained)(photos)
    odds = several / (1 - several)
    torch.testing.assert_close(odds / odds.sum(1, keepdim=True), one, rtol=1e-4, atol=1e-5)


def test_a_run_without_photos(train_here: Train, data_dir: Path, tmp_path: Path) -> None:
    directory = train_here(tmp_path, "experiment=regression_two_layer_net", "debug=fast", "trainer=cpu")
    with pytest.raises(UserError, match=r"takes inputs of shape \(1000,\) \(regression\), not photos"):
        predict(directory, str(data_dir), **SETTINGS)


def test_nothing_that_can_be_read_leaves_nothing(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="None of the 1 files of the input can be read"):
        predict(run_dir, str(tmp_path), **SETTINGS | {"output": f"{tmp_path}/x.csv"})
    assert [file.name for file in tmp_path.iterdir()] == ["a.jpg"]


def test_flipping_is_the_mean_of_both_sides(run_dir: Path) -> None:
    trained = load_trained(run_dir, "best")
    photos = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain = Predictor(trained)
    both = Predictor(trained, tta="flip")
    torch.testing.assert_close(both(photos), (plain(photos) + plain(photos.flip(3))) / 2)
    torch.testing.assert_close(both(photos), both(photos.flip(3)))
    with pytest.raises(UserError, match="tta=rotate: choose flip"):
        Predictor(trained, tta="rotate")


def test_a_calibrated_run_predicts_with_its_temperature(run_dir: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(run_dir, directory)
    photos = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = Predictor(load_trained(directory, "best"))(photos)
    calibration: dict[str, Any] = {"temperature": 2.0, "checkpoint": "best", "split": "val", "photos": 20}
    calibration["epoch"] = load_trained(directory, "best").content["epoch"]
    errors = {"ece_before": 0.1, "ece_after": 0.1, "ece_held_out": 0.1}
    (directory / "calibration.json").write_text(json.dumps(calibration | errors))
    after = Predictor(load_trained(directory, "best"))(photos)
    torch.testing.assert_close(after, (before.log() / 2).softmax(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("files", "truth"),
    [
        (["ants/1.jpg", "bees/2.jpg"], ["insects", "insects"]),
        (["val/ants/1.jpg", "val/cats/x/2.jpg"], ["insects", "cats"]),
        (["ants/1.jpg", "dogs/2.jpg"], []),
        (["1.jpg"], []),
        (["training_set/training_set/ants/1.jpg", "test_set/test_set/cats/2.jpg"], ["insects", "cats"]),
        (["some/other/folders/ants/1.jpg"], []),
    ],
)
def test_folders_say_what_is_true(files: list[str], truth: list[str], tmp_path: Path) -> None:
    folders = folders_of_classes(["insects", "cats"], {"insects": ["ants", "bees"], "cats": "cats"})
    assert true_classes(tmp_path, [tmp_path / file for file in files], folders) == truth
    assert folders_of_classes(["a", "b"], None) == {"a": "a", "b": "b"}
