"""Trained networks as files for other programs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import save_model
from torch import nn

from runs.errors import UserError
from runs.trained import load_config, load_network


def save_state_dict(network: nn.Module, settings: dict[str, Any], path: Path) -> None:
    """`network.load_state_dict(torch.load(path, weights_only=True))`, on the same network."""
    torch.save(network.state_dict(), path)


def save_whole_module(network: nn.Module, settings: dict[str, Any], path: Path) -> None:
    """`torch.load(path, weights_only=False)` gives the network itself, where this project can be imported.

    Reading such a file runs whatever code it names: only ever load your own.
    """
    torch.save(network, path)


def save_safetensors(network: nn.Module, settings: dict[str, Any], path: Path) -> None:
    """`safetensors.torch.load_model(network, path)`; the metadata `network` says as JSON how to build it."""
    save_model(network, str(path), metadata={"network": json.dumps(settings)})


FORMATS: dict[str, tuple[str, Callable[[nn.Module, dict[str, Any], Path], None]]] = {
    "state_dict": ("network.state_dict.pt", save_state_dict),
    "module": ("network.module.pt", save_whole_module),
    "safetensors": ("network.safetensors", save_safetensors),
}


def export(directory: Path, *, checkpoint: str, format: str, output: Path | None) -> Path:
    """Writes the network of the run in `directory` to `output`, or into the directory, and returns where it is.

    UserError for an unknown format and for a directory without such a run.
    """
    if format not in FORMATS:
        raise UserError(f"format={format}: choose from {', '.join(FORMATS)}.")
    network = load_network(directory, checkpoint)
    settings = OmegaConf.to_container(load_config(directory).network)
    assert isinstance(settings, dict)
    name, save = FORMATS[format]
    path = output or directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    save(network, {str(key): value for key, value in settings.items()}, partial)
    partial.replace(path)
    return path
