import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.results.export_formats import (
    Format,
    Onnx,
    Safetensors,
    StateDict,
    TorchExport,
    WholeModule,
    captured,
    onnx_outputs,
)

FORMATS: dict[str, Callable[[], Format]] = {
    "onnx": lambda: Onnx(20),
    "torch_export": TorchExport,
    "safetensors": lambda: Safetensors({"_target_": "torch.nn.Linear"}),
    "state_dict": StateDict,
    "module": WholeModule,
}


def build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5))


@pytest.mark.parametrize("name", FORMATS)
def test_written_and_read_back_for_any_batch_size(name: str, tmp_path: Path) -> None:
    network = build().eval()
    inputs = torch.randn(7, 2, 4, 4)
    chosen = FORMATS[name]()
    path = tmp_path / chosen.name
    chosen.save(network, inputs[:2], path)
    assert [file.name for file in tmp_path.iterdir()] == [chosen.name]
    loaded = chosen.load(path, build)
    with torch.no_grad():
        for batch in (inputs[:1], inputs[:3], inputs):
            torch.testing.assert_close(loaded(batch), network(batch), rtol=1e-5, atol=1e-6)


def test_onnx_has_the_operators_and_names_that_were_asked_for(tmp_path: Path) -> None:
    Onnx(19).save(build().eval(), torch.randn(2, 2, 4, 4), tmp_path / "x.onnx")
    model = onnx.load(tmp_path / "x.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import if opset.domain == ""] == [19]
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["input", "output"]
    assert Onnx(20).facts(tmp_path / "x.onnx") == {"opset": 19}


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, package: Any = None) -> Any:
        return None if name in ("onnx", "onnxruntime") else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(UserError, match=r"^format=onnx needs onnx and onnxruntime: pip install -e '\.\[onnx\]'\.$"):
        Onnx(20)


class DependsOnValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class OneSizeOnly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(2, 3)


@pytest.mark.parametrize("network", [DependsOnValues(), OneSizeOnly()])
def test_what_is_no_graph_of_any_batch_is_told_in_a_sentence(network: nn.Module) -> None:
    with pytest.raises(UserError, match=rf"^torch\.export cannot capture {type(network).__name__} as a graph: \S"):
        captured(network.eval(), torch.randn(2, 3))


def test_an_exported_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^model=.*none.onnx: there is no such file; `export.py run=… format=onnx"):
        onnx_outputs(tmp_path / "none.onnx")
