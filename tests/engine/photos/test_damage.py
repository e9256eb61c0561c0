"""JPEGs with damaged image data: they have no checksum, and what libjpeg notices is reported once."""

import csv
import io
import logging
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from engine.photos.damage import DAMAGED, UNKNOWN, WHOLE, known_damaged
from engine.photos.images import read_image
from engine.photos.photo_index import PhotoIndex
from engine.photos.photo_set import Photos
from tests.conftest import TINY, RunTrain, run_script

LIMIT = 10**6


def jpeg(seed: int = 0, mode: str = "RGB", **settings: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, **{"format": "JPEG", "quality": 95, **settings})
    return file.getvalue()


def overwritten(content: bytes, count: int = 200) -> bytes:
    """With noise in its image data that is no part of a marker."""
    start = len(content) // 2
    noise = bytes(random.Random(0).randrange(1, 255) for _ in range(count))
    return content[:start] + noise + content[start + count :]


def damage_of(content: bytes, folder: Path) -> list[str]:
    (folder / "photo.jpg").write_bytes(content)
    damage: list[str] = []
    read_image(folder / "photo.jpg", LIMIT, damage)
    return damage


KINDS: list[dict[str, Any]] = [
    *({}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}),
    *({"mode": "L"}, {"mode": "CMYK"}, {"format": "MPO"}),
]


@pytest.mark.parametrize("settings", KINDS)
def test_wrong_bytes_are_noticed(settings: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert damage_of(jpeg(**settings), tmp_path) == []
    (said,) = damage_of(overwritten(jpeg(**settings)), tmp_path)
    assert said.startswith("Corrupt JPEG data: ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [
        jpeg().replace(b"JFIF\0\1\1", b"JFIF\0\5\5"),
        jpeg()[:-2] + b"\0" + jpeg()[-2:],
        jpeg()[:-2] + b"\xaa" * 50 + jpeg()[-2:],
        jpeg() + b"more behind the end",
    ],
)
def test_habits_of_cameras_are_no_damage(content: bytes, tmp_path: Path) -> None:
    assert damage_of(content, tmp_path) == []


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Photos of which the second is damaged."""
    files = [tmp_path / f"{number}.jpg" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(overwritten(jpeg(number)) if number == 1 else jpeg(number))
        os.utime(file, (10**9, 10**9))
    return files


@pytest.mark.parametrize("num_workers", [0, 2])
def test_it_is_logged_once_whichever_process_reads(
    num_workers: int, three: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    photos = Photos(three, [0, 1, 0], v2.CenterCrop(16), seed=0, max_pixels=LIMIT)
    assert photos.conditions.tolist() == [UNKNOWN] * 3
    for _ in range(2):
        for _ in torch.utils.data.DataLoader(photos, num_workers=num_workers):
            pass
        with caplog.at_level(logging.WARNING):
            photos.tell_damaged()
    assert photos.conditions.tolist() == [WHOLE, DAMAGED, WHOLE]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{three[1]} has damaged image data, so some of its pixels are wrong: replace or remove it."
    )


def test_the_index_remembers_it(three: list[Path], tmp_path: Path) -> None:
    photos = Photos(three, [0, 1, 0], v2.CenterCrop(16), seed=0, max_pixels=LIMIT)
    for index in (0, 1):
        photos[index]
    assert known_damaged([photos], PhotoIndex(three, tmp_path, tmp_path / "index")) == [three[1]]
    again = Photos(three, [0, 1, 0], v2.CenterCrop(16), seed=0, max_pixels=LIMIT)
    assert known_damaged([again], PhotoIndex(three, tmp_path, tmp_path / "index")) == [three[1]]
    assert again.conditions.tolist() == [WHOLE, DAMAGED, UNKNOWN]
    three[1].write_bytes(jpeg(1))  # mended
    assert known_damaged([], PhotoIndex(three, tmp_path, tmp_path / "index")) == []
    assert PhotoIndex(three, tmp_path, tmp_path / "index").conditions.tolist() == [WHOLE, UNKNOWN, UNKNOWN]


@pytest.fixture
def insects(data_dir: Path, tmp_path: Path) -> Path:
    """Photos of which one is damaged."""
    root = Path(shutil.copytree(data_dir / "hymenoptera_data", tmp_path / "insects"))
    damaged = root / "train/bees/0003.jpg"
    damaged.write_bytes(overwritten(jpeg()))
    a_while_ago = damaged.stat().st_mtime - 60  # an index does not remember a file that has just been written
    os.utime(damaged, (a_while_ago, a_while_ago))
    return root


def test_check_data_lists_it(insects: Path, tmp_path: Path) -> None:
    """From photos that are read for it, and from features and an index of an earlier time."""
    for _ in range(2):
        done = run_script("check_data.py", f"data_dir={insects}", "output=found", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "damaged" not in done.stderr
        assert "1 × damaged: some of their pixels are wrong" in done.stdout
        with (tmp_path / "found" / "findings.csv").open() as file:
            (row,) = (row for row in csv.DictReader(file) if row["finding"] == "damaged")
        assert (Path(row["path"]).name, row["label"]) == ("0003.jpg", "bees")
        assert row["detail"].startswith("Corrupt JPEG data: ")
    shutil.rmtree(tmp_path / "cache" / "photos", ignore_errors=True)
    done = run_script("check_data.py", f"data_dir={insects}", "output=found", cwd=tmp_path)
    assert "1 × damaged" in done.stdout, "without its index, from cached features"


@pytest.mark.parametrize("experiment", ["transfer_finetune", "transfer_feature_extractor"])
def test_training_says_it_once(experiment: str, insects: Path, tmp_path: Path, run_train: RunTrain) -> None:
    settings = (f"experiment={experiment}", "datamodule=image_folder", f"datamodule.data_dir={insects}", *TINY)
    more = ("network.pretrained=false", "trainer.max_epochs=2", "datamodule.num_workers=2", "callback=plain")
    for again in (False, True):
        done = run_train(*settings, *more, cwd=tmp_path, timeout=300)
        assert done.returncode == 0, done.stderr
        words = " ".join((done.stdout + done.stderr).replace("│", " ").split())
        assert words.count("has damaged image data") == 1
        assert ("look out" in words) is again, "the next run knows it before it trains"


def test_prediction_and_evaluation_say_it(insects: Path, run_dir: Path, tmp_path: Path) -> None:
    photo = insects / "val/bees/0003.jpg"
    photo.write_bytes(overwritten(jpeg()))
    told = f"{photo} has damaged image data, so some of its pixels are wrong"
    for command in (
        ("predict.py", f"input={insects}/val", "output=out.csv"),
        ("evaluate.py", f"datamodule.data_dir={insects}"),
        ("evaluate.py", f"datamodule.data_dir={insects / 'val'}"),
    ):
        done = run_script(command[0], f"run={run_dir}", *command[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert " ".join(done.stderr.split()).count(told) == 1
