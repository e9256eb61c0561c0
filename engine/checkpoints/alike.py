"""Compares the states in a checkpoint with the objects that will load them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from engine.errors import UserError
from engine.wording import shown

OWN = ("callbacks.", "engine.", "pytorch_lightning.", "torch.optim.")
"""Where classes are from whose states keep their types; a state of another class may hold anything."""

AS_PARAMETERS = (
    *("momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "square_avg", "grad_avg"),
    *("acc_delta", "sum", "prev", "ax"),
)
"""Tensors that torch's optimizers keep for a parameter, in its shape."""

SCORES = (".best_model_score", ".current_score", ".best")
"""Values of callbacks that are None at first, and numbers later."""

KINDS: dict[str, tuple[type, ...]] = {
    "a tensor": (Tensor,),
    "a number": (bool, int, float, Tensor),
    "a text": (str,),
    "a list": (list, tuple),
    "a table": (Mapping,),
}


def require_alike(saved: Any, owner: Any, place: str) -> None:
    """UserError if any value in a saved state is of another kind than its new owner's.

    Such a value would load, and fail much later, in the middle of the training. None matches anything but a number.
    Keys that only one of the states has are left to the owner.
    """
    if not f"{type(owner).__module__}.".startswith(OWN):
        return
    for where, value, kind in _unlike(saved, owner.state_dict(), place):
        raise modified(f"The checkpoint cannot be restored: {where} is {shown(value)}, but should be {kind}")


def require_all_alike(states: Sequence[Any], owners: Sequence[Any], place: str, *, all_saved: bool) -> None:
    """The same for lists of states and owners in the same order; with `all_saved`, no owner's may be missing."""
    if all_saved and len(states) < len(owners):
        raise modified(f"The checkpoint cannot be restored: {place} has {len(states)} of {len(owners)} states")
    for index, (saved, owner) in enumerate(zip(states, owners, strict=False)):
        require_alike(saved, owner, f"{place}.{index}")


def require_fitting(states: Any, optimizer: Optimizer) -> None:
    """UserError if an optimizer's state for a parameter has another shape; `states` are keyed by parameter index."""
    if not f"{type(optimizer).__module__}.".startswith(OWN) or not isinstance(states, Mapping):
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, kept in states.items():
        is_numbered = isinstance(number, int) and 0 <= number < len(parameters)
        if not is_numbered or not isinstance(kept, Mapping):  # FSDP has names; unfrozen layers come later
            continue
        for name in AS_PARAMETERS:
            if isinstance(value := kept.get(name), Tensor) and value.shape != parameters[number].shape:
                shapes = f"{tuple(value.shape)}, but its parameter has {tuple(parameters[number].shape)}"
                place = f"optimizer_states.state.{number}.{name}"
                raise modified(f"The checkpoint cannot be restored: {place} has the shape {shapes}")


def require_settings(groups: Any, optimizer: Optimizer) -> None:
    """UserError if a saved group of parameters lacks a number that the optimizer needs, such as its learning rate.

    Newer versions of torch may have added switches, whose defaults they fill in themselves.
    """
    if not f"{type(optimizer).__module__}.".startswith(OWN) or not isinstance(groups, list):
        return
    numbers = {key for key, value in optimizer.defaults.items() if not isinstance(value, bool | None)}
    for index, group in enumerate(groups):
        if missing := numbers - group.keys():
            place = f"optimizer_states.param_groups.{index}"
            raise modified(f"The checkpoint cannot be restored: {place} has no {', '.join(sorted(missing))}")


def modified(what: str) -> UserError:
    """The error for a checkpoint that was modified; `what` says what cannot be restored."""
    return UserError(
        f"{what}: it was modified, or saved by another program; to start a new run from its weights, "
        "give init_from=RUN."
    )


def _unlike(saved: Any, own: Any, place: str) -> Iterator[tuple[str, Any, str]]:
    if own is None and saved is not None and place.endswith(SCORES) and not _is_single(saved):
        yield place, saved, "a single number"
    if own is None or (saved is None and type(own) not in (int, float)):
        return
    kind: str | None = next((kind for kind, types in KINDS.items() if isinstance(own, types)), None)
    if kind is None:
        return
    is_huge = isinstance(saved, int) and saved.bit_length() > 63  # torch's whole numbers have 64
    if is_huge or not isinstance(saved, KINDS[kind]) or (_is_single(own) and not _is_single(saved)):
        yield place, saved, "a single number" if _is_single(own) else kind
    elif isinstance(own, Mapping) and isinstance(saved, Mapping):
        for key in own:
            if key in saved:
                yield from _unlike(saved[key], own[key], f"{place}.{key}")
    elif isinstance(own, list | tuple) and isinstance(saved, list | tuple):
        for index in range(min(len(saved), len(own))):
            yield from _unlike(saved[index], own[index], f"{place}.{index}")


def _is_single(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, Tensor) and value.ndim == 0)
