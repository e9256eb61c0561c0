"""Two processes on the CPU, over gloo."""

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import RunTrain, Train, metrics_of, only_run


@pytest.mark.parametrize("cache", ["true", "false"])
def test_two_processes_train_as_one_with_twice_the_batch(
    cache: str, run_train: RunTrain, train_here: Train, data_dir: Path, tmp_path: Path
) -> None:
    """Gradients are averaged, so that two shares of 4 are a batch of 8."""
    shared = [
        "datamodule.image_size=64",
        "datamodule.num_workers=0",
        f"datamodule.data_dir={data_dir}",
        f"cache={cache}",
    ]
    shared += ["network=timm", "network.name=test_resnet", "network.pretrained=false", "trainer.max_epochs=2"]
    shared += ["trainer.log_every_n_steps=1", "features.precision=32"]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "datamodule.batch_size=4"]
    done = run_train(*shared, *two, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    directory = only_run(tmp_path)
    (tmp_path / "alone").mkdir()
    alone = train_here(tmp_path / "alone", *shared, "trainer=cpu", "datamodule.batch_size=8")

    metrics, expected = metrics_of(directory), metrics_of(alone)
    assert metrics["status"] == "completed"
    for name in (
        "train/loss",
        "train/acc",
        "val/loss",
        "val/acc",
        "val/acc_ants",
        "best/val/acc",
        "best/epoch",
        "epochs",
    ):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-4), name
    heads = [torch.load(d / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for d in (directory, alone)]
    assert heads[0].keys() == heads[1].keys()
    torch.testing.assert_close(heads[0], heads[1], rtol=1e-4, atol=1e-5)

    assert done.stdout.count("parameters trained") == 1, "only the first process speaks"
    assert len(list(directory.glob("events.out.tfevents.*"))) == 1
    events = EventAccumulator(str(directory)).Reload()
    assert len(events.Scalars("val/acc")) == 2
