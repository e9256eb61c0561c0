"""What holds on a GPU alone; `benchmarks/gpu.py` runs these with all other tests marked `gpu`."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from benchmarks.gpu_training import Settings, waits
from datamodules.stand_ins.write import write_cifar10
from engine.features.frozen import FrozenBackbone
from networks.efficientnet_lite import EfficientNetLite
from tests.conftest import RunTrain, only_run
from tests.killing import differences
from tests.noise import noise

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


def test_images_in_memory_are_moved_once_and_augmented_on_the_gpu() -> None:
    datamodule = noise(chunk=1)
    datamodule.trainer = Trainer(accelerator="gpu", devices=1, logger=False)
    datamodule.setup("fit")
    on_the_gpu = list(datamodule.train_dataloader())
    assert datamodule.splits["train"][0].is_cuda
    alone = noise(chunk=1)
    alone.setup("fit")
    for (images, labels), (expected, same) in zip(on_the_gpu, alone.train_dataloader(), strict=True):
        assert images.is_cuda
        torch.testing.assert_close(images.cpu(), expected, rtol=0, atol=1e-6)
        assert torch.equal(labels.cpu(), same)


def test_a_step_does_not_wait_for_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even to log: `trainer.log_every_n_steps` is 1 there."""
    monkeypatch.setattr("engine.training.steps.step_points.SECONDS", 3600.0)
    data_dir = tmp_path / "stand-in"
    write_cifar10(data_dir)
    assert waits(Settings(data_dir, tmp_path, "cuda", 1, quick=False))["lines"] == {}


@pytest.mark.parametrize(("precision", "tolerance"), [("32", 0.01), ("bf16", 0.06)])
def test_features_are_those_of_the_cpu(precision: str, tolerance: float) -> None:
    """Float32 convolutions may round to TF32 there."""
    network = EfficientNetLite(name="efficientnet_lite0", num_classes=2, pretrained=True).eval()
    images = torch.rand(9, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected = FrozenBackbone(network, "32", "cpu")(images)
    found = FrozenBackbone(network, precision)(images)
    assert found.device.type == "cpu"
    assert float((found - expected).norm() / expected.norm()) < tolerance


@pytest.mark.parametrize("experiment", ["lenet_nll", "domain_adaptation_mmd"])
def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(
    experiment: str, run_train: RunTrain, tmp_path: Path
) -> None:
    shared = (f"experiment={experiment}", "trainer=gpu", "trainer.deterministic=true", "scheduler=constant")
    directories = {}
    for name, epochs in (("whole", 3), ("resumed", 2)):
        (tmp_path / name).mkdir()
        done = run_train(*shared, f"trainer.max_epochs={epochs}", cwd=tmp_path / name, timeout=240)
        assert done.returncode == 0, done.stderr
        directories[name] = only_run(tmp_path / name)
    done = run_train(f"resume={directories['resumed']}", "trainer.max_epochs=3", cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    assert differences(directories["whole"], directories["resumed"]) == []
