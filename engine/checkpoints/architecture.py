"""Finds layers that differ between a network and a checkpoint."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from engine.checkpoints.content import require_bounded, require_stored
from engine.files import by_descriptor, open_plain

NETWORK = "network."
SHOWN = 4
"""How many layers a message names."""

MAX_TEXT = 50_000
"""Characters of an error message that are examined: names in a stranger's checkpoint may be very long."""

HEADING = re.compile(r"Error\(s\) in loading state_dict for (\w+)")
SIZES = re.compile(r"size mismatch for (\S+): .*?Size\(\[([\d, ]*)\]\) from checkpoint.*?Size\(\[([\d, ]*)\]\)")


def differences(network: nn.Module, state: Mapping[str, Tensor]) -> str | None:
    """Differences in names and shapes between a network's state dict and a checkpoint's; None if there are none."""
    shapes = {name: None if is_lazy(tensor) else tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) if isinstance(tensor, Tensor) else () for name, tensor in state.items()}
    common = [name for name in shapes if name in found and shapes[name] not in (None, found[name])]
    return _listed(
        [(name, found[name], shapes[name] or ()) for name in common],
        missing=[name for name in shapes if name not in found],
        unexpected=[name for name in found if name not in shapes],
    )


def load_weights(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Loads a state dict, which may lack entries if a LightningModule says so by its `strict_loading`."""
    module.load_state_dict(state, strict=getattr(module, "strict_loading", True))


def saved_shapes(checkpoints: Path, name: str) -> dict[str, Tensor] | None:
    """The network's entries in a run's checkpoints, as meta tensors; None if they cannot be read."""
    try:
        state: dict[str, Any] = _on_meta(checkpoints / name)["state_dict"]
        saved = {key.removeprefix(NETWORK): value for key, value in state.items() if key.startswith(NETWORK)}
        backbone = checkpoints / "backbone.ckpt"  # a frozen backbone is in no other checkpoint
        if backbone.is_file():
            saved |= {f"backbone.{key}": value for key, value in _on_meta(backbone).items()}
    except Exception:  # damaged or missing: reported when it is loaded
        return None
    return saved


def _on_meta(path: Path) -> Any:
    with open_plain(path) as file:
        require_stored(file)
        content = torch.load(by_descriptor(file), map_location="meta", mmap=True, weights_only=True)
    require_bounded(content)
    return content


def steps_of(path: Path) -> int:
    """The number of optimizer steps before a checkpoint was saved; 0 if that cannot be read."""
    try:
        return int(_on_meta(path)["global_step"])
    except Exception:
        return 0


def other_architecture(error: RuntimeError) -> str | None:
    """One sentence for `load_state_dict`'s error about another architecture; None for other errors."""
    text = str(error)[:MAX_TEXT]
    if not HEADING.match(text):
        return None
    names = {kind: re.search(rf"{kind} key\(s\) in state_dict: (.*?)\. *$", text, re.M) for kind in KINDS}
    missing, unexpected = ([] if found is None else re.findall(r'"([^"]+)"', found[1]) for found in names.values())
    sizes = [(name, _shape(there), _shape(here)) for name, there, here in SIZES.findall(text)]
    return f"The checkpoint has another architecture: {_listed(sizes, missing=missing, unexpected=unexpected)}."


KINDS = ("Missing", "Unexpected")


def _shape(numbers: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", numbers)))


def _listed(
    sizes: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]], *, missing: Sequence[str], unexpected: Sequence[str]
) -> str | None:
    told = [f"{name} is {there} in the checkpoint and {here} in the network" for name, there, here in sizes]
    told += [f"{name} is only in the network" for name in missing] + [
        f"{name} is only in the checkpoint" for name in unexpected
    ]
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return ", ".join(told[:SHOWN] + more) or None
