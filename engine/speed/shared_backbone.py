"""Builds a frozen backbone once per process and shares it between networks with different heads.

Building a backbone takes longer than training a head on cached features. Its weights are loaded, but are first drawn at
random: a later head is drawn as if the backbone had been drawn again, so it has the same bits as on its own backbone.
"""

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

DRAWS = (torch.ops.aten.uniform_.default, torch.ops.aten.normal_.default)

LOOKS = (
    *(torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default),
    torch.ops.aten.masked_select.default,
)
"""Operations that read values, after which later draws may depend on earlier ones."""

MAX_DRAWN = 1000  # cached heads, by the generator's state before drawing them

_first: dict[str, "_Built | None"] = {}


@dataclass
class _Draw:
    """A random initialization of a tensor; `name` is its parameter's name, or None within the backbone."""

    fill: Callable[..., Any]
    arguments: tuple[Any, ...]
    tensor: Tensor
    name: str | None = None

    def again(self, network: nn.Module) -> None:
        tensor = torch.empty(self.tensor.shape) if self.name is None else network.get_parameter(self.name)
        self.fill(tensor, *self.arguments)


@dataclass
class _Built:
    """A network, the random draws of its construction, and cached facts about its backbone."""

    network: Any
    draws: list[_Draw]
    facts: dict[str, Any] = field(default_factory=dict)
    drawn: dict[bytes, tuple[Tensor, dict[str, Tensor]]] = field(default_factory=dict)
    is_confirmed: bool = False  # verified with a second seed: same backbone, correct head

    def again(self) -> Any:
        """A new network on the same backbone, with its head drawn from the generator's current state."""
        backbone = self.network.backbone
        network = copy.deepcopy(self.network, {id(backbone): backbone})
        before = _generator()
        with torch.no_grad():
            if before in self.drawn:
                state, values = self.drawn[before]
                torch.set_rng_state(state)
                for name, parameter in own_parameters(network).items():
                    parameter.copy_(values[name])
                return network
            for draw in self.draws:
                draw.again(network)
        if len(self.drawn) < MAX_DRAWN:
            values = {name: parameter.detach().clone() for name, parameter in own_parameters(network).items()}
            self.drawn[before] = (torch.get_rng_state(), values)
        return network


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.draws: list[_Draw] = []
        self.looked = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.looked |= func in LOOKS
        if func in DRAWS:
            self.draws.append(_Draw(partial(func, **kwargs or {}), args[1:], args[0]))
        return func(*args, **(kwargs or {}))


def on_shared_backbone(key: str, build: Callable[[], Any]) -> Any:
    """Returns a network like `build()`; its `backbone` is the same object in all networks with this key.

    The backbone must not be changed. If a head cannot be drawn without its backbone, each network gets its own.
    """
    first = _first.get(key)
    if first is not None and first.facts["place"] == _place(first.network.backbone):
        if first.is_confirmed or _generator() in first.drawn:
            return first.again()
        return _second(key, first, build)
    if key in _first and first is None:
        return build()
    before, others = torch.get_rng_state(), _other_states()
    with _Recorder() as recorder:
        network = build()
    is_plain = others == _other_states() and not recorder.looked
    _first[key] = _checked(network, recorder.draws, before) if is_plain else None
    return network


def _second(key: str, first: "_Built", build: Callable[[], Any]) -> Any:
    """Builds a network from another seed; if its backbone equals the first one's, it is shared from now on."""
    before = torch.get_rng_state()
    network = build()
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    again = first.again()
    first.is_confirmed = torch.equal(torch.get_rng_state(), after) and _same(network.state_dict(), again.state_dict())
    torch.set_rng_state(after)
    if first.is_confirmed:
        return again
    _first[key] = None
    return network


def _same(these: dict[str, Tensor], those: dict[str, Tensor]) -> bool:
    return these.keys() == those.keys() and all(torch.equal(these[name], those[name]) for name in these)


def _generator() -> bytes:
    return torch.get_rng_state().numpy().tobytes()


def of_shared(backbone: nn.Module, name: str, find: Callable[[], Any]) -> Any:
    """Returns `find()`, computed only once for a shared backbone."""
    facts = next((built.facts for built in _first.values() if built and built.network.backbone is backbone), None)
    if facts is None:
        return find()
    if name not in facts:
        facts[name] = find()
    return facts[name]


def own_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a network outside its backbone."""
    return {name: value for name, value in network.named_parameters() if not name.startswith("backbone.")}


def _other_states() -> tuple[Any, str]:
    return random.getstate(), repr(np.random.get_state(legacy=True))


def _place(backbone: nn.Module) -> list[tuple[int, torch.dtype]]:
    """Identifies the weights' location; differs after a move to another device or dtype."""
    return [(parameter.data_ptr(), parameter.dtype) for parameter in backbone.parameters()]


def _checked(network: Any, draws: list[_Draw], before: Tensor) -> _Built | None:
    """A record for building the network again; None if repeating the draws gives a different one."""
    if not isinstance(getattr(network, "backbone", None), nn.Module):
        return None
    own = own_parameters(network)
    names = {parameter.data_ptr(): name for name, parameter in own.items()}
    for draw in draws:
        draw.name = names.get(draw.tensor.data_ptr())
        draw.tensor = draw.tensor.detach().to("meta")
    after, built = torch.get_rng_state(), _Built(network, draws, {"place": _place(network.backbone)})
    torch.set_rng_state(before)
    built.network = built.again()  # a copy that is never trained
    is_same = torch.equal(torch.get_rng_state(), after)
    torch.set_rng_state(after)
    return built if is_same and _same(dict(own), dict(own_parameters(built.network))) else None
