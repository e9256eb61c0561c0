from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.loggers import add_image, picture_loggers, tensorboard_loggers
from engine.loggers.csv_logger import CSVLogger


@pytest.fixture
def loggers(tmp_path: Path) -> list[Any]:
    """One of each kind, none of which has written anything."""
    blank = [object.__new__(kind) for kind in (WandbLogger, MLFlowLogger)]
    return [TensorBoardLogger(tmp_path, "", ""), CSVLogger(save_dir=str(tmp_path)), *blank]


def test_which_loggers_show_pictures(loggers: list[Any]) -> None:
    board, _, wandb, mlflow = loggers
    trainer: Any = SimpleNamespace(loggers=loggers, is_global_zero=True)
    assert tensorboard_loggers(trainer) == [board]
    assert picture_loggers(trainer) == [board, wandb, mlflow]


def test_the_other_processes_have_none(loggers: list[Any]) -> None:
    trainer: Any = SimpleNamespace(loggers=loggers, is_global_zero=False)
    assert tensorboard_loggers(trainer) == picture_loggers(trainer) == []


def test_tensorboard_gets_the_picture(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, "", "")
    picture = Image.new("RGB", (20, 10), (200, 100, 50))
    add_image(logger, "val/colours", picture, 7)
    logger.finalize("success")
    (event,) = EventAccumulator(str(tmp_path)).Reload().Images("val/colours")
    assert (event.step, event.width, event.height) == (7, 20, 10)
    (tmp_path / "it.jpg").write_bytes(event.encoded_image_string)
    pixels = np.asarray(Image.open(tmp_path / "it.jpg")).astype(int)
    assert abs(pixels - np.asarray(picture)).max() <= 4
