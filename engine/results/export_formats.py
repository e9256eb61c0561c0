"""File formats for networks, with reading back."""

import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from engine.checkpoints.architecture import load_weights
from engine.errors import UserError
from engine.process.startup import import_for_real

Outputs = Callable[[Tensor], Tensor]
"""Inputs (N, …) float32 on the CPU → outputs (N, …)."""


class Format(ABC):
    """A file format; `name` is the default file name."""

    name: str

    @abstractmethod
    def save(self, network: nn.Module, inputs: Tensor, path: Path) -> None:
        """Writes the network for inputs like these (2, …), with any batch size."""

    @abstractmethod
    def load(self, path: Path, build: Callable[[], nn.Module]) -> Outputs:
        """Reads the network back; `build` returns one without the trained weights."""

    def facts(self, path: Path) -> dict[str, Any]:
        """Additional facts about the file for its sidecar."""
        return {}


class StateDict(Format):
    """`network.load_state_dict(torch.load(path, weights_only=True))`, on the same network."""

    name = "network.state_dict.pt"

    def save(self, network: nn.Module, inputs: Tensor, path: Path) -> None:
        torch.save(network.state_dict(), path)

    def load(self, path: Path, build: Callable[[], nn.Module]) -> Outputs:
        network = build().eval()
        load_weights(network, torch.load(path, weights_only=True))
        return network


class WholeModule(Format):
    """`torch.load(path, weights_only=False)` returns the network itself, if this project can be imported.

    Loading such a file can run arbitrary code: only load your own.
    """

    name = "network.module.pt"

    def save(self, network: nn.Module, inputs: Tensor, path: Path) -> None:
        torch.save(network, path)

    def load(self, path: Path, build: Callable[[], nn.Module]) -> Outputs:
        network: nn.Module = torch.load(path, weights_only=False)
        return network


class Safetensors(Format):
    """`safetensors.torch.load_model(network, path)`; the metadata `network` is its config as JSON."""

    name = "network.safetensors"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    def save(self, network: nn.Module, inputs: Tensor, path: Path) -> None:
        save_model(network, str(path), metadata={"network": json.dumps(self.settings)})

    def load(self, path: Path, build: Callable[[], nn.Module]) -> Outputs:
        network = build().eval()
        load_model(network, path)
        return network


class TorchExport(Format):
    """`torch.export.load(path).module()(inputs)`; needs only torch."""

    name = "network.pt2"

    def save(self, network: nn.Module, inputs: Tensor, path: Path) -> None:
        torch.export.save(captured(network, inputs), path)

    def load(self, path: Path, build: Callable[[], nn.Module]) -> Outputs:
        return torch.export.load(path).module()


class Onnx(Format):
    """ONNX in a single file, with the input `input` and the output `output`.

    UserError if the packages of the extra `onnx` are not installed.
    """

    name = "network.onnx"

    def __init__(self, opset: int) -> None:
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(f"format=onnx needs {' and '.join(missing)}: pip install -e '.[onnx]'.")
        self.opset = opset

    def facts(self, path: Path) -> dict[str, Any]:
        import onnx

        # torch keeps an older opset if it cannot convert to the requested one.
        return {"opset": next(opset.version for opset in onnx.load(path).opset_import if not opset.domain)}

    def save(self, network: nn.Module, inputs: Tensor, path: Path) -> None:
        program = captured(network, inputs)
        torch.onnx.export(
            program,
            f=path,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: "batch"},),  # only names the dimension
            opset_version=self.opset,
            external_data=False,
            verbose=False,
        )

    def load(self, path: Path, build: Callable[[], nn.Module]) -> Outputs:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda inputs: torch.from_numpy(session.run(["output"], {"input": inputs.numpy()})[0])


def onnx_outputs(path: Path) -> Outputs:
    """A function that runs an ONNX file from export.py. UserError if it cannot be used."""
    known = Onnx(opset=0)
    if not path.is_file():
        raise UserError(f"model={path}: there is no such file; `export.py run=… format=onnx output={path}` writes it.")
    try:
        outputs = known.load(path, nn.Identity)
    except Exception as error:  # onnxruntime has many exceptions of its own
        reason = str(error).partition("\n")[0]
        raise UserError(f"model={path}: is not a usable ONNX file ({reason}).") from error

    def checked(inputs: Tensor) -> Tensor:
        try:
            return outputs(inputs)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"model={path}: was not exported from a run like this ({reason}).") from error

    return checked


@torch.no_grad()
def captured(network: nn.Module, inputs: Tensor) -> torch.export.ExportedProgram:
    """Captures the network as a graph with any batch size. UserError if torch cannot."""
    import_for_real()  # it needs torch._dynamo
    batch = torch.export.Dim("batch", min=1)
    try:
        return torch.export.export(network, (inputs,), dynamic_shapes=({0: batch},))
    except Exception as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise UserError(f"torch.export cannot capture {type(network).__name__} as a graph: {reason}") from error
