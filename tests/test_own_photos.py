"""Photos of one's own, from a folder of class folders to a network that other programs run: the README's way."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from engine.photos.images import read_image
from engine.results.preprocessing import photo_transform
from engine.run.trained import load_trained
from tests.conftest import TINY, only_run, run_script
from tests.readme import arguments, commands

COLOURS = {"leaves": (40, 160, 60), "sand": (210, 190, 120), "water": (30, 90, 200)}
PHOTOS = 10


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of plain colours with some noise, and what file managers leave beside them."""
    folder = tmp_path_factory.mktemp("own") / "my_photos"
    for key, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir(parents=True)
        for index in range(PHOTOS):
            noise = np.random.default_rng((key, index)).normal(0, 20, (90, 120, 3))
            pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"IMG {index}.jpg")
        (folder / name / ".DS_Store").touch()
    return folder


def test_folder_to_network_to_predictions_to_onnx(photos: Path) -> None:
    """By the very commands that the README has for it; photos are made smaller, and the network learns faster."""
    here = photos.parent
    check, train, predict, export = commands(section="Your own photos")
    scripts = [arguments(command)[1] for command in (check, train, predict, export)]
    assert scripts == ["check_data.py", "train.py", "predict.py", "export.py"]

    done = run_script(*arguments(check)[1:], cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(kind in done.stdout for kind in ("identical", "look-alikes", "doubtful", "cannot be read"))

    done = run_script(*arguments(train)[1:], *TINY, "optimizer.lr=0.01", cwd=here)
    assert done.returncode == 0, done.stderr
    run = only_run(here).relative_to(here)

    done = run_script(*arguments(predict, RUN_DIR=run)[1:], cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    with (here / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == PHOTOS * len(COLOURS)
    right = sum(Path(row["path"]).parent.name == row["class"] for row in rows)
    assert right > 0.9 * len(rows), "colours are no hard question"

    done = run_script(*arguments(export, RUN_DIR=run)[1:], cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    sidecar = json.loads((here / "network.onnx.json").read_text())
    session = onnxruntime.InferenceSession(here / "network.onnx")
    transform = photo_transform(load_trained(here / run, "best"))
    images = torch.stack([transform(read_image(here / row["path"], 10**6)) for row in rows])
    (logits,) = session.run(None, {sidecar["input"]["name"]: images.float().div(255).numpy()})
    assert [sidecar["classes"][label] for label in logits.argmax(1)] == [row["class"] for row in rows]
