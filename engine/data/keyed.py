"""Keyed randomness: the draw for (seed, epoch, index) depends only on those integers.

It does not depend on earlier draws, so the number of workers, prefetching and restarts do not affect it.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def mix(*key: int) -> int:
    """Combines the integers of `key`, whose order matters, into a seed in [0, 2⁶³) that is the same in every process.

    The integers are hashed, so neighboring keys give unrelated streams.
    """
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1


def keyed_generator(*key: int) -> torch.Generator:
    """A CPU generator seeded by the integers of `key`, for example (seed, epoch, index)."""
    return torch.Generator().manual_seed(mix(*key))


@contextmanager
def keyed_rng(*key: int) -> Iterator[None]:
    """Seeds torch's global CPU generator with `key` and restores its state on exit."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(mix(*key))
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
