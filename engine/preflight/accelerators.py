"""Whether the machine has the accelerator that a config asks for."""

from typing import Any

import torch
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


def _is_available(name: str) -> bool:
    return bool(AcceleratorRegistry[name]["accelerator"].is_available())
