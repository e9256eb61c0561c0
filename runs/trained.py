"""The network of a finished run, from nothing but its directory."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from torch import nn

from runs.checkpoint_io import load_checkpoint
from runs.errors import UserError
from runs.network import build_network

PREFIX = "network."


def load_config(directory: Path) -> DictConfig:
    """The run's config. UserError where the directory holds no run."""
    file = directory / "config.yaml"
    if not file.is_file():
        raise UserError(
            f"run={directory}: there is no config.yaml; give the directory of a run, logs/<experiment>/<time>."
        )
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    return config


def load_network(directory: Path, checkpoint: str) -> nn.Module:
    """The run's network on the CPU, in eval mode, with the weights of `checkpoint` (best, last).

    UserError where the run has no such checkpoint.
    """
    config, checkpoints = load_config(directory), directory / "checkpoints"
    state = load_checkpoint(checkpoints / f"{checkpoint}.ckpt")["state_dict"]
    network: nn.Module = build_network(config, checkpoints)
    weights = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    # A frozen backbone is not in the checkpoint, but the network has it already.
    network.load_state_dict(network.state_dict() | weights)
    return network.eval()
