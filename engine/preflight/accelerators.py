"""Whether the machine has the accelerator that a config asks for."""

import os
from typing import Any

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Trainer
from pytorch_lightning.accelerators import AcceleratorRegistry

GPUS = ("cuda", "mps")


def has_no_gpu() -> bool:
    return not any(_is_available(name) for name in GPUS)


def require_accelerator(name: Any) -> None:
    """ValueError if the machine does not have the accelerator; any other value is left to Lightning."""
    wanted = GPUS if name == "gpu" else (name,)
    known = AcceleratorRegistry.available_accelerators()
    if not all(kind in known for kind in wanted) or any(_is_available(kind) for kind in wanted):
        return
    what = "GPU" if name in ("gpu", "cuda") else f"{name} device"
    build = "" if torch.backends.cuda.is_built() or what != "GPU" else ", and it is a build without CUDA"
    raise ValueError(f"accelerator: torch {torch.__version__} finds no {what} here{build}: give trainer=cpu")


def require_other_nodes(trainer: Trainer) -> None:
    """ValueError if nothing tells the run where its other nodes are: it would wait for them forever."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and not os.environ.get("MASTER_ADDR"):
        raise ValueError(
            "num_nodes above 1 needs to know the other nodes: start the run with srun or torchrun, or set MASTER_ADDR, "
            "MASTER_PORT and NODE_RANK on every node"
        )


def _is_available(name: str) -> bool:
    return bool(AcceleratorRegistry[name]["accelerator"].is_available())
