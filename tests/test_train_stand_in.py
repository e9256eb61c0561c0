"""The main experiment on a machine with no network, no data and no weights, but smaller and shorter."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datamodules.stand_ins import write as stand_in
from tests.conftest import RunTrain, metrics_of, only_run

Finished = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def done(run_train: RunTrain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    folder = tmp_path_factory.mktemp("main")
    settings = ["datamodule.image_size=64", "trainer.max_epochs=2", "trainer=cpu"]
    done = run_train("experiment=transfer_feature_extractor", *settings, cwd=folder, timeout=240)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_says_so_at_the_start_and_at_the_end(done: tuple[Finished, Path]) -> None:
    output = done[0].stdout
    start, end = output.index("parameters trained"), output.index("transfer_feature_extractor: done")
    for notice in ("STAND-IN DATA", "SUBSTITUTE WEIGHTS: efficientnet_lite0 replaces resnet18"):
        assert start < output.index(notice) < end < output.rindex(notice)


def test_names_what_is_missing(done: tuple[Finished, Path]) -> None:
    assert "hymenoptera_data.zip cannot be downloaded" in done[0].stdout + done[0].stderr
    assert "resnet18-f37072fd.pth failed" in done[0].stdout + done[0].stderr
    assert "Traceback" not in done[0].stderr


def test_nothing_else_is_said_on_stderr(done: tuple[Finished, Path]) -> None:
    assert "Warning" not in done[0].stderr


def test_metrics_and_run_directory_say_so(done: tuple[Finished, Path]) -> None:
    directory = only_run(done[1])
    assert directory.name.endswith("_stand-in")
    metrics = metrics_of(directory)
    assert metrics["status"] == "completed"
    assert metrics["data"] == {"name": "hymenoptera", "source": "stand-in"}
    assert metrics["network"] == {"name": "efficientnet_lite0", "substitute_for": "resnet18"}
    assert metrics["epochs"] == 2
    wanted = {"val/acc", "val/loss", "train/loss", "best/val/acc", "best/epoch", "images_per_second", "seconds"}
    assert wanted | {"seed", "git", "torch", "lightning"} <= metrics.keys()
    assert 0 <= metrics["val/acc"] <= metrics["best/val/acc"] <= 1


def test_the_run_directory_is_whole(done: tuple[Finished, Path]) -> None:
    directory = only_run(done[1])
    names = {path.relative_to(directory).as_posix() for path in directory.rglob("*")}
    assert {"config.yaml", ".hydra/overrides.yaml", "train.log", "metrics.json"} <= names
    assert {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= names
    assert len([name for name in names if name.startswith("events.out.tfevents.")]) == 1


def test_tensorboard_says_so(done: tuple[Finished, Path]) -> None:
    events = EventAccumulator(str(only_run(done[1]))).Reload()
    (notice,) = events.Tensors("notice/text_summary")
    text = notice.tensor_proto.string_val[0].decode()
    assert "STAND-IN DATA" in text
    assert "SUBSTITUTE WEIGHTS" in text


def test_stand_in_is_as_large_as_the_real_set(done: tuple[Finished, Path]) -> None:
    photos = list((done[1] / "data" / "stand-in" / "hymenoptera_data").rglob("*.jpg"))
    assert len(photos) == sum(stand_in.HYMENOPTERA.values()) == 244 + 153


def test_a_moved_run_resumes_without_looking_for_weights(
    done: tuple[Finished, Path], run_train: RunTrain, tmp_path: Path
) -> None:
    moved = tmp_path / "moved run_stand-in"
    shutil.copytree(only_run(done[1]), moved)
    resumed = run_train(f"resume={moved}", "trainer.max_epochs=3", cwd=done[1], timeout=240)
    assert resumed.returncode == 0, resumed.stderr
    metrics = metrics_of(moved)
    assert metrics["epochs"] == 3
    assert metrics["network"]["substitute_for"] == "resnet18"
    assert "resnet18-f37072fd.pth" not in resumed.stdout + resumed.stderr
    assert "Features of" not in resumed.stdout + resumed.stderr, "its features are found again"
    assert "Warning" not in resumed.stderr
    assert len(list(done[1].glob("logs/*/*"))) == 1
