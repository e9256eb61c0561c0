"""Stores per-process states in the checkpoint that all processes share."""

from typing import Any

import torch.distributed
from lightning_utilities.core.apply_func import apply_to_collection

KEY = "of_each_process"


def of_each_process(state: Any) -> Any:
    """Gathers the states of all processes for a checkpoint; all must call it. A single process's state is unchanged."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return state
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, apply_to_collection(state, torch.Tensor, _on_cpu))
    return {KEY: states}


def of_this_process(saved: Any) -> Any:
    """This process's state from the result of `of_each_process`; the first one's if there was no such process."""
    if not isinstance(saved, dict) or KEY not in saved:
        return saved
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    return saved[KEY][rank if rank < len(saved[KEY]) else 0]


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu()
