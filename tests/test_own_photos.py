"""Your own photos, as in the README: from a folder of class folders to a network that other programs can run."""

import csv
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import v2

from engine.photos.images import read_image
from engine.results.preprocessing import photo_transform
from engine.run.trained import load_trained
from tests.conftest import TINY, only_run, run_script
from tests.readme import arguments, commands

COLOURS = {"leaves": (40, 160, 60), "sand": (210, 190, 120), "water": (30, 90, 200)}
PHOTOS = 10


def said(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """On stderr, but for how far it has come, which a slow machine says."""
    return [line for line in done.stderr.splitlines() if not re.match(r"\w+: \d+/\d+ (images|photos)", line)]


def weights(n: int, m: int) -> np.ndarray:
    """(m, n), as the sidecar describes them, before they are rounded."""
    found = np.zeros((m, n))
    r = max(1.0, n / m)
    for i in range(m):
        c = (i + 0.5) * n / m
        j = np.arange(max(0, int(c - r + 0.5)), min(n, int(c + r + 0.5)))
        w = np.maximum(0, 1 - np.abs(j + 0.5 - c) / r)
        found[i, j] = w / w.sum()
    return found


def resized(x: np.ndarray, m: int) -> np.ndarray:
    """The first axis of (n, …) uint8 to m values."""
    if len(x) == m:
        return x
    w = weights(len(x), m)
    b = max(b for b in range(23) if np.floor(w.max() * 2**b + 0.5) < 2**15)
    whole = np.floor(w * 2**b + 0.5)
    return np.floor(np.tensordot(whole, x.astype(float), 1) / 2**b + 0.5).clip(0, 255).astype(np.uint8)


def as_the_sidecar_says(path: Path, sidecar: dict[str, Any]) -> np.ndarray:
    """(1, 3, H, W) float32 of an RGB photo without a profile, by NumPy and Pillow alone."""
    _, resize, *_ = sidecar["input"]["steps"]
    side = int(re.match(r"resize the shorter side to (\d+), the longer to int", resize)[1])  # type: ignore[index]
    with Image.open(path) as image:
        x = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    height, width = (side * size // min(x.shape[:2]) for size in x.shape[:2])
    x = resized(resized(x.swapaxes(0, 1), width).swapaxes(0, 1), height)
    edge = sidecar["input"]["shape"][-1]
    top, left = round((height - edge) / 2), round((width - edge) / 2)
    return x[top : top + edge, left : left + edge].transpose(2, 0, 1)[None].astype(np.float32) / 255


@pytest.mark.parametrize("size", [(500, 333), (333, 500), (121, 640), (100, 90), (257, 259), (1000, 1333), (256, 256)])
def test_resizing_as_the_sidecar_says(size: tuple[int, int]) -> None:
    """Bit by bit; Pillow's own differs in some pixels by one level."""
    x = np.random.default_rng(size).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = v2.Resize(256)(torch.from_numpy(x).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    height, width = expected.shape[:2]
    found = resized(resized(x.swapaxes(0, 1), width).swapaxes(0, 1), height)
    np.testing.assert_array_equal(found, expected)


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
    assert (done.returncode, said(done)) == (0, [])
    assert not any(kind in done.stdout for kind in ("identical", "look-alikes", "doubtful", "cannot be read"))

    done = run_script(*arguments(train)[1:], *TINY, "optimizer.lr=0.01", cwd=here)
    assert done.returncode == 0, done.stderr
    run = only_run(here).relative_to(here)

    done = run_script(*arguments(predict, RUN_DIR=run)[1:], cwd=here)
    assert (done.returncode, said(done)) == (0, [])
    with (here / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == PHOTOS * len(COLOURS)
    right = sum(Path(row["path"]).parent.name == row["class"] for row in rows)
    assert right > 0.9 * len(rows), "colours are no hard question"

    done = run_script(*arguments(export, RUN_DIR=run)[1:], cwd=here)
    assert (done.returncode, said(done)) == (0, [])
    sidecar = json.loads((here / "network.onnx.json").read_text())
    session = onnxruntime.InferenceSession(here / "network.onnx")
    transform = photo_transform(load_trained(here / run, "best"))
    images = torch.stack([transform(read_image(here / row["path"], 10**6)) for row in rows])
    (logits,) = session.run(None, {sidecar["input"]["name"]: images.float().div(255).numpy()})
    assert [sidecar["classes"][label] for label in logits.argmax(1)] == [row["class"] for row in rows]

    for row in rows:  # by the sidecar alone
        (logits,) = session.run(None, {"input": as_the_sidecar_says(here / row["path"], sidecar)})
        odds = np.exp((logits[0] - logits[0].max()) / sidecar["output"]["temperature"])
        expected = [float(row[f"p_{name}"]) for name in sidecar["classes"]]
        np.testing.assert_allclose(odds / odds.sum(), expected, atol=1e-4)
