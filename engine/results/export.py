"""Exports trained networks to files for other programs."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from engine.build import network_name
from engine.errors import UserError
from engine.files import replace_text
from engine.results.export_formats import Format, Onnx, Outputs, Safetensors, StateDict, TorchExport, WholeModule
from engine.results.preprocessing import describe, real_inputs
from engine.run.trained import Trained, load_trained

FORMATS: Mapping[str, Callable[[Trained, int], Format]] = {
    "onnx": lambda trained, opset: Onnx(opset),
    "torch_export": lambda trained, opset: TorchExport(),
    "safetensors": lambda trained, opset: Safetensors(OmegaConf.to_container(trained.network_config)),  # type: ignore[arg-type]
    "state_dict": lambda trained, opset: StateDict(),
    "module": lambda trained, opset: WholeModule(),
}


class Exported(NamedTuple):
    """The file, the largest difference of its outputs from the checkpoint's, and the inputs used for that."""

    path: Path
    difference: float
    inputs: str


def export(
    directory: Path,
    *,
    checkpoint: str,
    format: str,
    output: str | None,
    tolerance: float,
    check_inputs: int,
    opset: int,
    input_shape: Sequence[int] | None,
) -> Exported:
    """Writes the network of the run in `directory` to `output`, or into the directory, and `<file>.json` beside it.

    conf/export.yaml explains the settings.

    Raises:
        UserError: an unknown format, no such run or checkpoint, a network that torch cannot capture, missing packages,
            or outputs that differ by more than `tolerance`. No file is left then.
    """
    if format not in FORMATS:
        raise UserError(f"format={format}: choose from {', '.join(FORMATS)}.")
    trained = load_trained(directory, checkpoint)
    if input_shape is not None:
        trained.data["input_shape"] = list(input_shape)
    chosen = FORMATS[format](trained, opset)
    network = trained.load_network()
    inputs = real_inputs(trained, max(2, check_inputs))
    outputs = _outputs(network, inputs.values, trained)

    path = Path(output) if output else directory / chosen.name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{token_hex(8)}.partial{path.suffix}")  # torch.export looks at the suffix
    try:
        chosen.save(network, inputs.values[:2], partial)
        loaded = chosen.load(partial, trained.build_network)
        difference = largest_difference(loaded, network, inputs.values)
        if not difference <= tolerance:  # also if it is NaN
            raise UserError(
                f"format={format}: outputs differ from the checkpoint's, which reach {outputs.abs().max():.3g}, "
                f"by up to {difference:.2g} on {inputs.name}, more than tolerance={tolerance:g}: nothing was written."
            )
        facts = chosen.facts(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    check = {"inputs": inputs.name, "largest_difference": difference, "tolerance": tolerance}
    sidecar = {"file": path.name, "format": format, **facts, "run": _origin(trained)}
    procedure = trained.load_module()
    meaning = getattr(procedure, "outputs", f"as {type(procedure).__name__} defines them")
    dtype = str(inputs.values.dtype).removeprefix("torch.")
    sidecar |= {**describe(trained, network, dtype, outputs, meaning), "check": check}
    text = json.dumps(sidecar, indent=2, ensure_ascii=False)
    replace_text(path.with_name(f"{path.name}.json"), f"{text}\n")
    return Exported(path, difference, inputs.name)


@torch.no_grad()
def largest_difference(loaded: Outputs, network: nn.Module, inputs: Tensor) -> float:
    """The largest absolute difference between the outputs of two networks, for a batch of one and for all inputs."""
    return max(float((loaded(batch) - network(batch)).abs().max()) for batch in (inputs[:1], inputs))


@torch.no_grad()
def _outputs(network: nn.Module, inputs: Tensor, trained: Trained) -> Tensor:
    """The outputs; UserError if the network rejects the inputs, or does not return a tensor."""
    try:
        outputs = network(inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"run={trained.directory}: its network does not take inputs of shape {list(inputs.shape[1:])} ({reason}): "
            "give the shape of one input, input_shape=[3,32,32]."
        ) from error
    if not isinstance(outputs, Tensor):
        raise UserError(f"run={trained.directory}: its network returns a {type(outputs).__name__} instead of a tensor.")
    return outputs


def _origin(trained: Trained) -> dict[str, Any]:
    return {
        "name": trained.config.name,
        "checkpoint": trained.checkpoint,
        "epoch": trained.content["epoch"] + 1,
        "network": network_name(trained.network_config),
        "data": {key: trained.data[key] for key in ("name", "source")},
        "torch": version("torch"),
    }
