from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from callbacks import confidently_wrong as module
from callbacks.confidently_wrong import ConfidentlyWrong, confidently_wrong
from callbacks.image_grids import WRONG


@pytest.mark.parametrize(("count", "expected"), [(9, [4, 0, 2]), (3, [4, 0, 2]), (2, [4, 0]), (0, [])])
def test_the_surest_mistakes_come_first(count: int, expected: list[int]) -> None:
    probabilities = torch.tensor([[0.2, 0.8], [0.1, 0.9], [0.6, 0.4], [0.99, 0.01], [0.15, 0.85]])
    assert confidently_wrong(probabilities, torch.tensor([0, 1, 1, 0, 0]), count) == expected


def test_a_sure_answer_is_not_a_sure_mistake() -> None:
    """With three classes what counts is the class that was chosen, not how little the right one got."""
    probabilities = torch.tensor([[0.50, 0.49, 0.01], [0.60, 0.20, 0.20]])
    assert confidently_wrong(probabilities, torch.tensor([2, 1]), 2) == [1, 0]


class DataModule:
    """Ten photos whose brightness tells which they are; classes take turns."""

    classes = ("ants", "bees")

    def labels(self, split: str, indices: list[int]) -> list[int]:
        return [index % 2 for index in indices]

    def images(self, split: str, indices: list[int]) -> Tensor:
        return torch.tensor(indices).view(-1, 1, 1, 1).expand(-1, 3, 2, 2) / 10


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int], list[tuple[str, Any]]]]:
    """Instead of pictures: the tag, the numbers of the photos, and the captions."""
    drawn: list[tuple[str, list[int], list[tuple[str, Any]]]] = []
    monkeypatch.setattr(module, "picture_loggers", lambda trainer: ["logger"])
    monkeypatch.setattr(module, "scaled", lambda image: round(float(image[0, 0, 0]) * 10))
    monkeypatch.setattr(module, "draw_grid", lambda photos, captions: (photos, captions))
    monkeypatch.setattr(module, "add_image", lambda logger, tag, image, step: drawn.append((tag, *image)))
    return drawn


def validate(callback: ConfidentlyWrong, logits: Tensor, split: str = "validation", world_size: int = 1) -> None:
    last_epoch = {"current_epoch": 0, "max_epochs": 1, "check_val_every_n_epoch": 1, "should_stop": False}
    trainer: Any = SimpleNamespace(datamodule=DataModule(), world_size=world_size, global_step=1, **last_epoch)
    pl_module: Any = SimpleNamespace(probabilities=lambda logits: logits.softmax(1))
    getattr(callback, f"on_{split}_start")(trainer, None)
    for number, batch in enumerate(logits.split(3)):
        getattr(callback, f"on_{split}_batch_end")(
            trainer, pl_module, batch, (None, torch.zeros(len(batch), dtype=torch.long)), number
        )
    getattr(callback, f"on_{split}_epoch_end")(trainer, pl_module)
    callback.on_train_epoch_end(trainer, pl_module)


def bees(*scores: float) -> Tensor:
    """Logits that give bees the probability σ(score)."""
    return torch.stack([torch.zeros(len(scores)), torch.tensor(scores)], dim=1)


def test_grid_of_mistakes_with_their_captions(shown: list[Any]) -> None:
    callback = ConfidentlyWrong(max_images=2)
    validate(callback, bees(-5, -1, 2, 5, 3))
    validate(callback, bees(1, 5), "test")
    assert shown == [
        ("val/confidently_wrong", [4, 2], [("bees 95%\nis ants", WRONG), ("bees 88%\nis ants", WRONG)]),
        ("test/confidently_wrong", [0], [("bees 73%\nis ants", WRONG)]),
    ]


def test_nothing_wrong_nothing_shown(shown: list[Any]) -> None:
    validate(ConfidentlyWrong(max_images=8), bees(-1, 1, -1))
    assert shown == []


def test_the_first_of_two_processes_shows_its_own_photos(shown: list[Any]) -> None:
    """It evaluates every second photo, here the ants."""
    validate(ConfidentlyWrong(max_images=8), bees(1, -1, 2, -1), world_size=2)
    assert [indices for _, indices, _ in shown] == [[4, 0]]
