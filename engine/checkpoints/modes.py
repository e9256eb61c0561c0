"""Frozen parameters and modules in evaluation mode, which callbacks and hooks turn on in the course of a training.

Lightning's checkpoints have neither, so a backbone that BackboneFinetuning has unfrozen would stay frozen on resume.
What is turned off later is not restored: if the callback that did so is left out on resume, it would stay off.
"""

from collections.abc import Collection

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Modes = dict[str, tuple[nn.Parameter | nn.Module, str]]
"""Objects and their attributes, by `attribute:name`."""


def modes_off(module: nn.Module) -> Modes:
    """What is off: requires_grad, training and, in BatchNorms that BaseFinetuning has frozen, track_running_stats."""
    found: Modes = {f"requires_grad:{name}": (p, "requires_grad") for name, p in module.named_parameters()}
    for name, part in module.named_modules():
        found[f"training:{name}"] = part, "training"
        if isinstance(part, _BatchNorm):
            found[f"track_running_stats:{name}"] = part, "track_running_stats"
    return {key: (owner, attribute) for key, (owner, attribute) in found.items() if not getattr(owner, attribute)}


def turned_on(off: Modes) -> list[str]:
    """Keys of what was off, and no longer is."""
    return [key for key, (owner, attribute) in off.items() if getattr(owner, attribute)]


def turn_on(off: Modes, keys: Collection[str]) -> None:
    for key in keys:
        if key in off:
            owner, attribute = off[key]
            setattr(owner, attribute, True)
