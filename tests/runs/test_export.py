"""Each format, written from a run directory and read back in a process that knows nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Train
from safetensors import safe_open
from torch import Tensor

from runs.errors import UserError
from runs.export import FORMATS, export
from runs.trained import load_network

READ = """
import sys, torch
from safetensors.torch import load_model
from networks.lenet import LeNet

network, path = LeNet(in_channels=1, num_classes=10, activation="ReLU", log_softmax=True), sys.argv[2]
match sys.argv[1]:
    case "state_dict": network.load_state_dict(torch.load(path, weights_only=True))
    case "safetensors": load_model(network, path)
    case "module": network = torch.load(path, weights_only=False)
torch.save(network.eval()(torch.load(sys.argv[3])), sys.argv[4])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, train_here: Train) -> Path:
    return train_here(tmp_path_factory.mktemp("run"), "experiment=lenet_nll", "debug=fast", "trainer=cpu")


@pytest.fixture(scope="module")
def example(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor]:
    """A file of images, and what the trained network makes of them."""
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    file = tmp_path_factory.mktemp("example") / "images.pt"
    torch.save(images, file)
    with torch.no_grad():
        return file, load_network(run, "best")(images)


@pytest.mark.parametrize("format", FORMATS)
def test_read_back_elsewhere_it_gives_the_same(
    format: str, run: Path, example: tuple[Path, Tensor], tmp_path: Path
) -> None:
    images, expected = example
    path = export(run, checkpoint="best", format=format, output=tmp_path / "deep" / "network")
    outputs = tmp_path / "outputs.pt"
    command = [sys.executable, "-c", READ, format, str(path), str(images), str(outputs)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    assert torch.equal(torch.load(outputs), expected)


def test_the_weights_are_the_checkpoints(run: Path) -> None:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in load_network(run, "last").state_dict().items():
        assert torch.equal(value, saved[f"network.{name}"])


def test_as_a_process_it_says_where_the_file_is(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "export.py"), f"run={run}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str(run / "network.safetensors")
    assert not list(tmp_path.iterdir())
    with safe_open(run / "network.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["network"])["_target_"] == "networks.lenet.LeNet"


def test_mistakes_are_told_in_a_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose from state_dict, module, safetensors"):
        export(run, checkpoint="best", format="onnx", output=None)
    with pytest.raises(UserError, match=r"there is no config\.yaml"):
        export(tmp_path, checkpoint="best", format="module", output=None)
    with pytest.raises(UserError, match=r"first\.ckpt is damaged or missing"):
        export(run, checkpoint="first", format="module", output=None)
