"""Saves and restores the random generators that training may use."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

Generator = torch.Generator | np.random.Generator | random.Random


def generator_states(owners: Iterable[Any] = ()) -> dict[str, Any]:
    """The states of the global generators of PyTorch, NumPy and Python, and of those that the owners hold.

    Owners are data loaders, whose samplers count too, modules and datamodules.
    """
    numpy_state: Any = np.random.get_state(legacy=True)
    _, keys, position, has_gauss, gauss = numpy_state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": (keys.tolist(), position, has_gauss, gauss),
        "python": random.getstate(),
        "loaders": [_state(generator) for generator in _held(owners)],
    }


def restore_generators(saved: dict[str, Any], owners: Iterable[Any] = ()) -> None:
    """Restores the result of `generator_states`."""
    torch.set_rng_state(saved["torch"].cpu())
    if len(saved["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda"]])
    keys, *rest = saved["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *rest))
    version, state, gauss = saved["python"]
    random.setstate((version, tuple(state), gauss))
    for generator, own in zip(_held(owners), saved.get("loaders", ()), strict=False):
        _restore(generator, own)


def _held(owners: Iterable[Any]) -> Iterator[Generator]:
    seen: set[int] = set()
    for owner in owners:
        batches = getattr(owner, "batch_sampler", None)
        for part in (owner, getattr(owner, "sampler", None), batches, getattr(batches, "sampler", None)):
            for held in list(getattr(part, "__dict__", {}).values()):
                if isinstance(held, Generator) and id(held) not in seen:
                    seen.add(id(held))
                    yield held


def _state(generator: Generator) -> Any:
    """A generator's state in tensors and plain values."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    state = generator.bit_generator.state
    numbers = {key: value.tolist() for key, value in state["state"].items() if isinstance(value, np.ndarray)}
    return {**state, "state": state["state"] | numbers}


def _restore(generator: Generator, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, random.Random):
        version, values, gauss = state
        generator.setstate((version, tuple(values), gauss))
    else:
        generator.bit_generator.state = state
