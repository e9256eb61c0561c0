"""`python train.py` as a user runs it, in a process of its own."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import COUNTS, ROOT, RunTrain
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datamodules import stand_in

EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
Finished = subprocess.CompletedProcess[str]


def metrics_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "metrics.json").read_text())
    return content


def only_run(folder: Path) -> Path:
    (directory,) = folder.glob("logs/*/*")
    return directory


@pytest.mark.parametrize("options", [["--help"], ["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--info", "config"]])
def test_asking_imports_no_torch_and_leaves_nothing(options: list[str], run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train(*options, cwd=tmp_path, options=("-X", "importtime"))
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "hydra" in imported
    heavy = ("torch", "torchvision", "pytorch_lightning", "lightning_fabric", "timm", "numpy", "tensorboard")
    assert not [name for name in imported if name.split(".")[0] in heavy]
    assert not list(tmp_path.iterdir())


def test_help_lists_every_experiment(run_train: RunTrain, tmp_path: Path) -> None:
    lines = run_train("--help", cwd=tmp_path).stdout.splitlines()
    for name in EXPERIMENTS:
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith("?")


class TestStandIn:
    """The main experiment on a machine with no network, no data and no weights, but smaller and shorter."""

    @pytest.fixture(scope="class")
    def done(self, run_train: RunTrain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
        folder = tmp_path_factory.mktemp("main")
        settings = ["datamodule.image_size=64", "trainer.max_epochs=2", "trainer=cpu"]
        done = run_train("experiment=transfer_feature_extractor", *settings, cwd=folder, timeout=240)
        assert done.returncode == 0, done.stderr
        return done, folder

    def test_says_so_at_the_start_and_at_the_end(self, done: tuple[Finished, Path]) -> None:
        output = done[0].stdout
        start, end = output.index("parameters trained"), output.index("transfer_feature_extractor: done")
        for notice in ("STAND-IN DATA", "SUBSTITUTE WEIGHTS: efficientnet_lite0 takes the place of resnet18"):
            assert start < output.index(notice) < end < output.rindex(notice)

    def test_names_what_is_missing(self, done: tuple[Finished, Path]) -> None:
        assert "hymenoptera_data.zip cannot be had" in done[0].stdout + done[0].stderr
        assert "resnet18-f37072fd.pth gave" in done[0].stdout + done[0].stderr
        assert "Traceback" not in done[0].stderr

    def test_nothing_else_is_said_on_stderr(self, done: tuple[Finished, Path]) -> None:
        assert "Warning" not in done[0].stderr

    def test_metrics_and_run_directory_say_so(self, done: tuple[Finished, Path]) -> None:
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

    def test_the_run_directory_is_whole(self, done: tuple[Finished, Path]) -> None:
        directory = only_run(done[1])
        names = {path.relative_to(directory).as_posix() for path in directory.rglob("*")}
        assert {"config.yaml", ".hydra/overrides.yaml", "train.log", "metrics.json"} <= names
        assert {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= names
        assert len([name for name in names if name.startswith("events.out.tfevents.")]) == 1

    def test_tensorboard_says_so(self, done: tuple[Finished, Path]) -> None:
        events = EventAccumulator(str(only_run(done[1]))).Reload()
        (notice,) = events.Tensors("notice/text_summary")
        text = notice.tensor_proto.string_val[0].decode()
        assert "STAND-IN DATA" in text
        assert "SUBSTITUTE WEIGHTS" in text

    def test_stand_in_is_as_large_as_the_real_set(self, done: tuple[Finished, Path]) -> None:
        photos = list((done[1] / "data" / "stand-in" / "hymenoptera_data").rglob("*.jpg"))
        assert len(photos) == sum(stand_in.HYMENOPTERA.values()) == 244 + 153

    def test_a_moved_run_resumes_without_looking_for_weights(
        self, done: tuple[Finished, Path], run_train: RunTrain, tmp_path: Path
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


def test_without_stand_in_it_stops_with_one_sentence(run_train: RunTrain, tmp_path: Path) -> None:
    started = time.monotonic()
    done = run_train("datamodule.stand_in=false", cwd=tmp_path)
    assert time.monotonic() - started < 30
    assert done.returncode != 0
    assert "The photos of hymenoptera are neither in" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    metrics = metrics_of(only_run(tmp_path))
    assert metrics["status"] == "failed"
    assert metrics["error"].startswith("DataError: The photos of hymenoptera are neither in")
    assert {"seconds", "data", "network", "seed", "git", "torch", "lightning"} <= metrics.keys()


def test_resume_of_nothing_is_one_sentence(run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train("resume=logs/none", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"resume={tmp_path}/logs/none: there is no config.yaml; give the directory of a run, logs/<experiment>/<time>.\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cache", ["true", "false"])
def test_two_processes_train_as_one_with_twice_the_batch(
    cache: str, run_train: RunTrain, train_here: Callable[..., Path], data_dir: Path, tmp_path: Path
) -> None:
    """Gloo on two CPU processes; gradients are averaged, so a share of 4 each is a batch of 8."""
    shared = ["datamodule.image_size=64", "datamodule.num_workers=0", f"datamodule.data_dir={data_dir}", f"cache={cache}"]
    shared += ["network=timm", "network.name=test_resnet", "network.pretrained=false", "trainer.max_epochs=2"]
    shared += ["trainer.log_every_n_steps=1", "features.precision=32"]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "datamodule.batch_size=4"]
    done = run_train(*shared, *two, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    directory = only_run(tmp_path)
    alone = train_here(tmp_path / "..", *shared, "trainer=cpu", "datamodule.batch_size=8")

    metrics, expected = metrics_of(directory), metrics_of(alone)
    assert metrics["status"] == "completed"
    for name in ("train/loss", "train/acc", "val/loss", "val/acc", "val/acc_ants", "best/val/acc", "best/epoch", "epochs"):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-4), name
    heads = [torch.load(d / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for d in (directory, alone)]
    assert heads[0].keys() == heads[1].keys()
    torch.testing.assert_close(heads[0], heads[1], rtol=1e-4, atol=1e-5)

    assert done.stdout.count("parameters trained") == 1, "only the first process speaks"
    assert len(list(directory.glob("events.out.tfevents.*"))) == 1
    events = EventAccumulator(str(directory)).Reload()
    assert len(events.Scalars("val/acc")) == 2
    assert sum(COUNTS.values()) == 28
