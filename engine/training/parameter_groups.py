"""Optimizer parameter groups from patterns of parameter names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn


def parameter_groups(
    parameters: nn.Module | Mapping[str, nn.Parameter], groups: Sequence[Mapping[str, Any]] | None
) -> list[dict[str, Any]]:
    """What an optimizer takes: one group of all trainable parameters, or one for each `{pattern, **settings}`.

    `parameters` is a module, or its parameters by name; those that need no gradient are left out.

    A pattern is a regular expression that is searched in the parameter's name (`^head`, `norm.*bias$`). Parameters that
    no pattern matches form a last group with the optimizer's own settings.

    Raises ValueError for a pattern that matches nothing and for a parameter that two patterns match.
    """
    given = dict(parameters.named_parameters()) if isinstance(parameters, nn.Module) else parameters
    named = {name: parameter for name, parameter in given.items() if parameter.requires_grad}
    taken: dict[str, str] = {}
    result: list[dict[str, Any]] = []
    for group in groups or ():
        settings = dict(group)
        pattern = settings.pop("pattern")
        names = [name for name in named if re.search(pattern, name)]
        if not names:
            raise ValueError(
                f"param_groups: pattern {pattern!r} matches no trainable parameter; there are {_some(named)}."
            )
        for name in names:
            if name in taken:
                raise ValueError(f"param_groups: patterns {taken[name]!r} and {pattern!r} both match {name!r}.")
            taken[name] = pattern
        result.append({"params": [named[name] for name in names], **settings})
    rest = [parameter for name, parameter in named.items() if name not in taken]
    return [*result, {"params": rest}] if rest else result


def _some(names: Mapping[str, Any]) -> str:
    shown = list(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
