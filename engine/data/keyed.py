"""Randomness by key: what is drawn for (seed, epoch, index) depends on those integers alone.

No draw depends on the ones before it, so no worker count, prefetching or restart can change one.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def mix(*key: int) -> int:
    """One seed in [0, 2⁶³) for the integers of `key`, in their order, the same in every process.

    The integers are hashed, so that neighbouring keys start unrelated streams.
    """
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1


def keyed_generator(*key: int) -> torch.Generator:
    """A CPU generator whose draws depend on the integers of `key` alone: (seed, epoch, index), say."""
    return torch.Generator().manual_seed(mix(*key))


@contextmanager
def keyed_rng(*key: int) -> Iterator[None]:
    """Inside, torch's global CPU generator draws the stream of `key`; afterwards it is where it was."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(mix(*key))
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
