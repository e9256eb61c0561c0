"""Which parameters are trained and which modules are in training mode: callbacks and hooks change both as they go.

Lightning's checkpoints have neither, so a backbone that BackboneFinetuning has unfrozen would stay frozen on resume.
"""

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

OF_MODULES = ("training", "track_running_stats")
"""Attributes of modules; BaseFinetuning turns off the second, too, when it freezes BatchNorm."""


def modes(module: nn.Module) -> dict[str, bool]:
    """The modes of all parameters and sub-modules, by `attribute:name`."""
    found = {f"requires_grad:{name}": parameter.requires_grad for name, parameter in module.named_parameters()}
    for name, part in module.named_modules():
        found[f"training:{name}"] = part.training
        if isinstance(part, _BatchNorm):
            found[f"track_running_stats:{name}"] = part.track_running_stats
    return found


def changed_modes(before: Mapping[str, bool], module: nn.Module) -> dict[str, bool]:
    """Those that are no longer as in `before`."""
    return {key: value for key, value in modes(module).items() if before.get(key) != value}


def change_modes(module: nn.Module, changes: Mapping[str, bool]) -> None:
    """Applies the result of `changed_modes`; names that the module lacks are skipped."""
    parameters, parts = dict(module.named_parameters()), dict(module.named_modules())
    for key, value in changes.items():
        attribute, _, name = key.partition(":")
        if attribute == "requires_grad" and name in parameters:
            parameters[name].requires_grad_(value)
        elif attribute in OF_MODULES and name in parts:
            setattr(parts[name], attribute, bool(value))
