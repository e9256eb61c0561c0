"""What suits each kind of prediction, from predictions alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from engine.pages.markup import Images
from engine.report.classes import confusion_csv
from engine.report.facts import Facts
from engine.report.results import predictions_sections
from engine.results.outputs import Collector, Predictions, example_names
from tests.engine.pages.test_markup import Checked

NAMES = ["<b>x</b>", "[red]", "蜜蜂", "$a$_{b}"]


def facts_of(tmp_path: Path, predictions: Predictions, classes: list[str], **others: Predictions) -> Facts:
    collector: Any = Collector()
    collector.datamodule = SimpleNamespace(classes=classes, domain="<target>")
    collector.predictions, collector.others = lambda: predictions, others
    return Facts(tmp_path, {"name": "x"}, collector)


def shown(facts: Facts) -> tuple[Checked, Images]:
    images: Images = {}
    page = Checked(predictions_sections(facts, images))
    assert page.wrong == []
    assert not page.tags & {"b", "script"}
    for name, png in images.items():
        (facts.directory / name).write_bytes(png)
        with Image.open(facts.directory / name) as image:
            image.load()
            assert max(image.size) < 5000
    return page, images


def one_class(count: int, classes: int, split: str = "val") -> Predictions:
    """Every third is wrong, with less and less confidence."""
    targets = torch.arange(count) % classes
    predicted = torch.where(torch.arange(count) % 3 == 0, (targets + 1) % classes, targets)
    sure = torch.linspace(0.9, 0.6, count)[:, None]
    outputs = torch.full((count, classes), 0.01).scatter(1, predicted[:, None], sure)
    return Predictions(split, "class", outputs, targets)  # type: ignore[arg-type]


def test_classes_of_any_name(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, one_class(40, 4), NAMES)
    page, images = shown(facts)
    assert images.keys() == {"confusion_matrix.png"}  # the data shows no images
    said = "26 of 40 right (65.0%, 95 % interval 49.5% to 77.9%): 40 validation examples, last epoch. "
    assert said in "".join(page.texts)
    assert page.texts.count("蜜蜂") == 3  # in the table of classes, and twice in the matrix
    assert row_of(page, "val example 1") == ["val example 1", "[red] 90.0%", "is <b>x</b>"]
    assert confusion_csv(facts)[1] == ["<b>x</b>", 6, 4, 0, 0]  # type: ignore[index]


def row_of(page: Checked, first: str) -> list[str]:
    start = page.texts.index(first)
    return page.texts[start : start + 3]


def test_many_classes(tmp_path: Path) -> None:
    page, images = shown(facts_of(tmp_path, one_class(600, 120), [f"class {number}" for number in range(120)]))
    assert {"The 15 classes of lowest recall.", "All 120 classes", "The most frequent."} <= set(page.texts)
    assert "confusion_matrix.png" in images
    page, images = shown(facts_of(tmp_path, one_class(30, 3000), [str(number) for number in range(3000)]))
    assert images == {}
    assert "Most confident mistakes" in page.texts


def test_no_mistakes_and_classes_without_examples(tmp_path: Path) -> None:
    page, _ = shown(
        facts_of(tmp_path, Predictions("test", "class", torch.eye(3)[:2], torch.arange(2)), ["a", "b", "c"])
    )
    assert {"There are none.", "never predicted"} <= set(page.texts)


def test_domains(tmp_path: Path) -> None:
    page, _ = shown(facts_of(tmp_path, one_class(30, 3), ["a", "b", "c"], source=one_class(60, 3)))
    assert page.texts.index("<target>") < page.texts.index("source")
    assert "Domains" in page.texts


@pytest.mark.parametrize("labels", [3, 30])
def test_a_panel_per_label(labels: int, tmp_path: Path) -> None:
    targets = torch.arange(40)[:, None] % (torch.arange(labels) + 2) == 0
    outputs = torch.where(targets, 0.8, 0.3)
    outputs[:10] = 0.4
    names = [*NAMES, *map(str, range(labels))][:labels]
    page, images = shown(facts_of(tmp_path, Predictions("test", "labels", outputs, targets), names))
    assert images.keys() == {"labels.png"}
    assert {"Labels", *names} <= set(page.texts)
    assert row_of(page, "test example 1") == ["test example 1", f"{names[0]} 40.0%", "applies"]


def test_numbers(tmp_path: Path) -> None:
    outputs = torch.randn(50, 2)
    outputs[0, 0] = float("nan")
    page, images = shown(facts_of(tmp_path, Predictions("val", "numbers", outputs, torch.randn(50, 2)), []))
    assert images.keys() == {"predictions.png"}
    assert "All 100 outputs for the 50 validation examples, last epoch." in page.texts


def test_files_are_named_within_the_data() -> None:
    files = [Path("/data/val/a/1.jpg"), Path("/data/val/b/2.jpg")]
    photos = SimpleNamespace(root=Path("/data"), val=SimpleNamespace(files=files))
    assert example_names(photos, "val", [1, 0]) == ["val/b/2.jpg", "val/a/1.jpg"]
    assert example_names(SimpleNamespace(photos=photos), "val", [0]) == ["val/a/1.jpg"]  # of features
    assert example_names(SimpleNamespace(), "test", [4]) == ["test example 5"]
