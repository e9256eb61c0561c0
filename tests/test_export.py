"""`python export.py` as a user runs it, in a process of its own, and what other programs make of its files."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from engine.run.trained import load_trained
from tests.conftest import ROOT, Train, run_script

READ = """
import sys
import torch
program = torch.export.load("network.pt2").module()
torch.save([program(batch) for batch in torch.load("batches")], "outputs")
assert not {"networks", "runs", "pytorch_lightning"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def finetuned(tiny: tuple[str, ...], train_here: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with all that a modern one has: depthwise convolutions, BatchNorm, pooling."""
    settings = ("experiment=transfer_finetune", "network=timm", "network.name=test_efficientnet")
    settings = (*settings, "network.pretrained=false", "trainer.max_epochs=1")
    return train_here(tmp_path_factory.mktemp("finetuned"), *tiny, *settings)


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, 3, 64, 64, generator=generator) for size in (1, 3)]


def expected(directory: Path) -> list[torch.Tensor]:
    network = load_trained(directory, "best").load_network()
    with torch.no_grad():
        return [network(batch) for batch in batches()]


def test_an_exported_file_predicts_what_its_run_does(finetuned: Path, data_dir: Path, tmp_path: Path) -> None:
    export = run_script("export.py", f"run={finetuned}", "format=onnx", "output=n.onnx", cwd=tmp_path)
    assert export.returncode == 0, export.stderr
    rows = {}
    for name, more in (("run", ()), ("file", ("model=n.onnx",))):
        photos = (f"run={finetuned}", f"input={data_dir}/hymenoptera_data/val", f"output={name}.csv", *more)
        done = run_script("predict.py", *photos, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        with (tmp_path / f"{name}.csv").open() as file:
            rows[name] = list(csv.DictReader(file))
    assert [row["class"] for row in rows["file"]] == [row["class"] for row in rows["run"]]
    for own, exported in zip(rows["run"], rows["file"], strict=True):
        assert float(exported["p_ants"]) == pytest.approx(float(own["p_ants"]), abs=1e-4)
    (tmp_path / "x.onnx").write_bytes(b"no network")
    wrong = run_script("predict.py", f"run={finetuned}", f"input={data_dir}", "model=x.onnx", cwd=tmp_path)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("model=x.onnx: is not a usable ONNX file")


def test_onnx_runs_with_onnxruntime(finetuned: Path, tmp_path: Path) -> None:
    path = tmp_path / "exports" / "insects.onnx"
    done = run_script("export.py", f"run={finetuned}", "format=onnx", f"output={path}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{path}: largest difference ")
    assert line.endswith(" on 12 validation inputs of hymenoptera (local)")
    assert sorted(file.name for file in path.parent.iterdir()) == ["insects.onnx", "insects.onnx.json"]

    session = onnxruntime.InferenceSession(path)
    for batch, outputs in zip(batches(), expected(finetuned), strict=True):
        (given,) = session.run(None, {"input": batch.numpy()})
        assert np.abs(given - outputs.numpy()).max() < 1e-4

    sidecar = json.loads((path.parent / "insects.onnx.json").read_text())
    assert sidecar["file"] == "insects.onnx"
    assert sidecar["opset"] == 20
    assert sidecar["classes"] == ["ants", "bees"]
    assert sidecar["check"]["largest_difference"] < sidecar["check"]["tolerance"] == 1e-4
    assert [i.name for i in session.get_inputs()] == [sidecar["input"]["name"]]
    assert session.get_inputs()[0].shape == sidecar["input"]["shape"] == ["batch", 3, 64, 64]
    assert session.get_outputs()[0].shape == sidecar["output"]["shape"] == ["batch", 2]


def test_torch_export_runs_with_torch_alone(finetuned: Path, tmp_path: Path) -> None:
    done = run_script("export.py", f"run={finetuned}", "format=torch_export", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (finetuned / "network.pt2").rename(tmp_path / "network.pt2")
    torch.save(batches(), tmp_path / "batches")
    subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, check=True, timeout=120)
    for given, outputs in zip(torch.load(tmp_path / "outputs"), expected(finetuned), strict=True):
        assert (given - outputs).abs().max() < 1e-4


def test_without_the_extra_one_sentence_says_how_to_install_it(run_dir: Path, tmp_path: Path) -> None:
    """The package's place is taken by nothing: a finder that hides it stands before all others."""
    hide = """
import importlib.util, runpy, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "onnxruntime" else find_spec(name, package)
sys.argv[0] = sys.argv[1]
del sys.argv[1]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    command = [sys.executable, "-c", hide, str(ROOT / "export.py"), f"run={run_dir}", "format=onnx"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == "format=onnx needs onnxruntime: pip install -e '.[onnx]'.\n"
