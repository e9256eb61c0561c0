"""Each format, written from a run directory and read back in a process that knows nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from runs.errors import UserError
from runs.export import FORMATS, export
from runs.trained import load_network
from tests.conftest import ROOT, Train

READ = """
import torch
from safetensors.torch import load_model
from networks.lenet import LeNet

def build():
    return LeNet(in_channels=1, num_classes=10, activation="ReLU", log_softmax=True).eval()

by_state_dict, by_safetensors = build(), build()
by_state_dict.load_state_dict(torch.load("state_dict", weights_only=True))
load_model(by_safetensors, "safetensors")
by_module = torch.load("module", weights_only=False)
images = torch.load("images")
torch.save([network(images) for network in (by_state_dict, by_safetensors, by_module)], "outputs")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, train_here: Train) -> Path:
    return train_here(tmp_path_factory.mktemp("run"), "experiment=lenet_nll", "debug=fast", "trainer=cpu")


def test_read_back_elsewhere_each_format_gives_the_same(run: Path, tmp_path: Path) -> None:
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = load_network(run, "best")(images)
    for format in FORMATS:
        export(run, checkpoint="best", format=format, output=tmp_path / format)
    torch.save(images, tmp_path / "images")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, env=environment, check=True, timeout=120)
    for outputs in torch.load(tmp_path / "outputs"):
        assert torch.equal(outputs, expected)


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
