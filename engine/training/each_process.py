"""States that each process of a training has for itself, in the one checkpoint that they share."""

from typing import Any

import torch.distributed

KEY = "of_each_process"


def of_each_process(state: Any) -> Any:
    """The states of all processes, for a checkpoint. All must call it; where there is one, its state as it is."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return state
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, _on_cpu(state))
    return {KEY: states}


def of_this_process(saved: Any) -> Any:
    """This process's part of what `of_each_process` gave; the first one's where their number is another now."""
    if not isinstance(saved, dict) or KEY not in saved:
        return saved
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    return saved[KEY][rank if rank < len(saved[KEY]) else 0]


def _on_cpu(node: Any) -> Any:
    if isinstance(node, torch.Tensor):
        return node.detach().cpu()
    if isinstance(node, dict):
        return {key: _on_cpu(value) for key, value in node.items()}
    return type(node)(map(_on_cpu, node)) if type(node) in (list, tuple) else node
