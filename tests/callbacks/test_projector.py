import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch import Tensor, nn

from callbacks.projector import CROSS, PALETTE, Projector, colour_of, framed, sprite
from engine.run.trained import load_trained


def read(run: Path) -> tuple[np.ndarray, list[list[str]], Image.Image]:
    """Features, table and picture, where the run's projector_config.pbtxt says."""
    config = text_format.Parse((run / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    features = np.fromfile(run / embedding.tensor_path, np.float32).reshape(embedding.tensor_shape)
    rows = [line.split("\t") for line in (run / embedding.metadata_path).read_text().splitlines()]
    assert list(embedding.sprite.single_image_dim) == [48, 48]
    with Image.open(run / embedding.sprite.image_path) as picture:
        return features, rows, picture.copy()


def test_features_classes_and_thumbnails_of_a_run(run_dir: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(run_dir, tmp_path / "moved")
    features, (header, *rows), picture = read(moved)
    assert header == ["label", "predicted", "wrong"]
    assert [row[0] for row in rows] == ["ants"] * 6 + ["bees"] * 6
    assert picture.size == (4 * 48, 4 * 48), "12 photos in a square"
    head: Any = load_trained(run_dir, "last").load_network().head
    predicted = head(torch.from_numpy(features)).argmax(1)
    assert [row[1] for row in rows] == [("ants", "bees")[label] for label in predicted]
    assert [row[2] for row in rows] == ["no" if row[0] == row[1] else "yes" for row in rows]


def test_thumbnails_lie_in_rows_of_a_square() -> None:
    thumbnails = torch.arange(5).view(5, 1, 1, 1).expand(5, 3, 2, 2).to(torch.uint8) * 10
    pixels = np.asarray(sprite(thumbnails))
    assert pixels.shape == (6, 6, 3)
    assert pixels[::2, ::2, 0].tolist() == [[0, 10, 20], [30, 40, 255], [255, 255, 255]]


def test_frames_have_their_classes_colours_and_mistakes_a_cross() -> None:
    photos, labels = torch.full((3, 3, 48, 48), 7, dtype=torch.uint8), torch.tensor([1, 0, 1])
    one, zero, wrong = framed(photos, labels, 2, torch.tensor([False, False, True]))
    assert tuple(one[:, 0, 20].tolist()) == PALETTE[1]
    assert tuple(zero[:, 20, 47].tolist()) == PALETTE[0]
    assert one[:, 24, 24].tolist() == zero[:, 10, 10].tolist() == wrong[:, 24, 10].tolist() == [7, 7, 7]
    assert tuple(wrong[:, 10, 10].tolist()) == tuple(wrong[:, 10, 37].tolist()) == CROSS
    assert len({colour_of(label, 120) for label in range(120)}) == 120


class Views(nn.Module):
    """Sees each photo twice; its features are the photo and the photo plus 2."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, photos: Tensor) -> Tensor:
        logits: Tensor = self.head(photos) + self.head(photos + 2)
        return logits


class DataModule:
    classes = ("ants", "bees")

    def labels(self, split: str, indices: list[int]) -> list[int]:
        return [index % 2 for index in indices]

    def thumbnails(self, split: str, indices: list[int], side: int) -> Tensor:
        return torch.tensor(indices).view(-1, 1, 1, 1).expand(-1, 3, side, side).to(torch.uint8)


def validate(run: Path, network: nn.Module, photos: Tensor, *, max_photos: int = 99, **module: Any) -> None:
    trainer: Any = SimpleNamespace(
        loggers=[TensorBoardLogger(run, "", "")],
        is_global_zero=True,
        datamodule=DataModule(),
        world_size=1,
        current_epoch=0,
        max_epochs=1,
        check_val_every_n_epoch=1,
        should_stop=False,
    )
    pl_module: Any = SimpleNamespace(network=network, probabilities=lambda logits: logits.softmax(1), **module)
    callback = Projector(max_photos=max_photos, side=48)
    for _ in range(2):  # what was seen in an earlier validation is forgotten
        callback.on_validation_start(trainer, pl_module)
        for batch in photos.split(3):
            callback.on_validation_batch_end(
                trainer, pl_module, network(batch), (None, torch.zeros(len(batch), dtype=torch.long)), 0
            )
        callback.on_validation_epoch_end(trainer, pl_module)
        callback.on_validation_end(trainer, pl_module)
    callback.on_train_epoch_end(trainer, pl_module)
    network(photos)  # after which nothing is collected any more
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_several_views_are_averaged_and_photos_spread(tmp_path: Path) -> None:
    photos = torch.arange(14.0).view(7, 2)
    validate(tmp_path, Views(), photos, max_photos=4)
    features, rows, _ = read(tmp_path)
    assert torch.equal(torch.from_numpy(features), photos[::2] + 1)
    assert len(rows) == 1 + 4


@pytest.mark.parametrize(("network", "settings"), [(nn.Linear(2, 2), {}), (Views(), {"compiled": True})])
def test_a_network_that_cannot_be_looked_into_has_none(
    network: nn.Module, settings: dict[str, Any], tmp_path: Path
) -> None:
    validate(tmp_path, network, torch.zeros(3, 2), **settings)
    assert not list(tmp_path.glob("projector*"))
