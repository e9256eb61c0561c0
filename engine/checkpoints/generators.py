"""Saves and restores the random generators that training may use."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch


def generator_states(loaders: Iterable[Any] = ()) -> dict[str, Any]:
    """The states of the global generators of PyTorch, NumPy and Python, and of the data loaders' own generators."""
    numpy_state: Any = np.random.get_state(legacy=True)
    _, keys, position, has_gauss, gauss = numpy_state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": (keys.tolist(), position, has_gauss, gauss),
        "python": random.getstate(),
        "loaders": [generator.get_state() for generator in _own(loaders)],
    }


def restore_generators(saved: dict[str, Any], loaders: Iterable[Any] = ()) -> None:
    """Restores the result of `generator_states`."""
    torch.set_rng_state(saved["torch"].cpu())
    if len(saved["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda"]])
    keys, *rest = saved["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *rest))
    version, state, gauss = saved["python"]
    random.setstate((version, tuple(state), gauss))
    for generator, own in zip(_own(loaders), saved.get("loaders", ()), strict=False):
        generator.set_state(own.cpu())


def _own(loaders: Iterable[Any]) -> Iterator[torch.Generator]:
    seen: set[int] = set()
    for loader in loaders:
        batches = getattr(loader, "batch_sampler", None)
        for owner in (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator) and id(generator) not in seen:
                seen.add(id(generator))
                yield generator
