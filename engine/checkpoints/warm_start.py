"""Starts a new run from another run's weights, and nothing else of it: `init_from=RUN_DIR`."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from engine.checkpoints.architecture import NETWORK, differences, load_weights
from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.errors import UserError
from engine.training.procedure import Procedure


def weights_of(cfg: DictConfig, checkpoint: Path | None) -> Path | None:
    """The folder of the checkpoints that contain the run's weights, if any; pretrained weights are then not needed."""
    if checkpoint is not None:
        return checkpoint.parent
    return checkpoints_of(Path(cfg.init_from)) if cfg.get("init_from") else None


def checkpoints_of(run: Path) -> Path:
    if not any((run / "checkpoints" / name).is_file() for name in ("best.ckpt", "last.ckpt")):
        raise UserError(f"init_from={run}: there is no checkpoints/best.ckpt; give the directory of a trained run.")
    return run / "checkpoints"


def start_from(module: Any, run: Path) -> None:
    """Loads the weights of the run's best epoch (or else its last) into a module with the same layers.

    Of a Procedure, only the `network` is compared and loaded. UserError with the layers that differ.
    """
    checkpoints = checkpoints_of(run)
    file = next(path for name in ("best.ckpt", "last.ckpt") if (path := checkpoints / name).is_file())
    state = load_checkpoint(file, parts=["state_dict"])["state_dict"]
    target, prefix = module, ""
    if isinstance(module, Procedure):
        target, prefix = module.network, NETWORK
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if (backbone := checkpoints / "backbone.ckpt").is_file():
        state = {f"backbone.{name}": value for name, value in load_checkpoint(backbone).items()} | state
    if differ := differences(target, state):
        raise UserError(f"init_from={run}: its network has another architecture: {differ}.")
    load_weights(target, state)
