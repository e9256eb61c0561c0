"""Each format, written from a run directory and read back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from engine.errors import UserError
from engine.results import export as export_module
from engine.results.export import FORMATS, export, largest_difference
from engine.results.export_formats import StateDict
from engine.run.trained import load_trained
from tests.conftest import ROOT, Train

SETTINGS: dict[str, Any] = {
    "checkpoint": "best",
    "format": "safetensors",
    "output": None,
    "tolerance": 1e-4,
    "check_inputs": 16,
    "opset": 20,
    "input_shape": None,
}
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


def test_read_back_elsewhere_the_weights_formats_give_the_same(run: Path, tmp_path: Path) -> None:
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = load_trained(run, "best").load_network()(images)
    for format in ("state_dict", "safetensors", "module"):
        exported = export(run, **SETTINGS | {"format": format, "output": str(tmp_path / format)})
        assert exported == (tmp_path / format, 0.0, "16 validation inputs of digits (official)")
    torch.save(images, tmp_path / "images")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, env=environment, check=True, timeout=120)
    for outputs in torch.load(tmp_path / "outputs"):
        assert torch.equal(outputs, expected)


@pytest.mark.parametrize("format", ["onnx", "torch_export"])
@pytest.mark.parametrize(
    "experiment", ["regression_custom_linear", "regression_custom_relu", "regression_dynamic", "domain_adaptation_mmd"]
)
def test_networks_of_all_kinds_can_be_captured(experiment: str, format: str, train_here: Train, tmp_path: Path) -> None:
    directory = train_here(tmp_path, f"experiment={experiment}", "debug=fast", "trainer=cpu")
    # One has outputs of some hundreds.
    exported = export(directory, **SETTINGS | {"format": format, "check_inputs": 5, "tolerance": 1e-3})
    assert exported.difference <= (1e-3 if experiment == "regression_custom_relu" else 1e-4)
    assert exported.path.name == {"onnx": "network.onnx", "torch_export": "network.pt2"}[format]


def test_without_an_output_the_file_lies_in_the_run_and_says_how_it_is_built(run: Path) -> None:
    path = export(run, **SETTINGS).path
    assert path == run / "network.safetensors"
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["network"])["_target_"] == "networks.lenet.LeNet"


def test_sidecar_of_a_run_on_images(run: Path, tmp_path: Path) -> None:
    export(run, **SETTINGS | {"output": f"{tmp_path}/x.safetensors"})
    sidecar = json.loads((tmp_path / "x.safetensors.json").read_text())
    assert sidecar["run"]["name"] == "lenet_nll"
    assert sidecar["run"]["checkpoint"] == "best"
    assert sidecar["run"]["network"] == "lenet"
    assert sidecar["run"]["data"] == {"name": "digits", "source": "official"}
    assert sidecar["input"]["shape"] == ["batch", 1, 32, 32]
    assert sidecar["output"]["shape"] == ["batch", 10]
    assert sidecar["output"]["meaning"].startswith("log-probabilities (")
    assert sidecar["classes"] == list("0123456789")
    assert sidecar["check"] == {
        "inputs": "16 validation inputs of digits (official)",
        "largest_difference": 0.0,
        "tolerance": 1e-4,
    }


class Wrong(StateDict):
    """Writes other weights than it was given."""

    def save(self, network: nn.Module, inputs: torch.Tensor, path: Path) -> None:
        torch.save({name: value + self.by for name, value in network.state_dict().items()}, path)

    def __init__(self, by: float) -> None:
        self.by = by


@pytest.mark.parametrize("by", [0.1, float("nan")])
def test_what_differs_is_an_error_and_leaves_nothing(
    by: float, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "FORMATS", {"wrong": lambda trained, opset: Wrong(by)})
    (tmp_path / "x.pt").write_text("before")
    with pytest.raises(
        UserError, match=r"^format=wrong: outputs differ from the checkpoint's, which .*nothing was written"
    ):
        export(run, **SETTINGS | {"format": "wrong", "output": f"{tmp_path}/x.pt"})
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]
    assert (tmp_path / "x.pt").read_text() == "before"


def test_the_tolerance_is_the_one_that_is_given(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "FORMATS", {"wrong": lambda trained, opset: Wrong(1e-3)})
    settings = SETTINGS | {"format": "wrong", "output": f"{tmp_path}/x.pt", "tolerance": 10.0}
    assert 1e-4 < export(run, **settings).difference < 10


def test_largest_difference_is_over_a_single_input_too() -> None:
    """An exported batch of one may go another way."""
    one = nn.Identity()

    def other(inputs: torch.Tensor) -> torch.Tensor:
        return inputs + (0.5 if len(inputs) == 1 else 0.25)

    inputs = torch.zeros(4, 2)
    inputs[2, 1] = -8
    assert largest_difference(other, one, inputs) == 0.5
    assert largest_difference(lambda batch: batch.clamp(min=-1), one, inputs) == 7


def test_mistakes_are_told_in_a_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^format=tensorflow: choose from {', '.join(FORMATS)}\.$"):
        export(run, **SETTINGS | {"format": "tensorflow"})
    with pytest.raises(UserError, match=r"there is no config\.yaml"):
        export(tmp_path, **SETTINGS)
