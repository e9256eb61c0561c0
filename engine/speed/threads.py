"""The number of threads per operation on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_an_operation() -> Iterator[int]:
    """Runs each operation on one thread, and yields the previous number of threads.

    Threads that share an operation wait for each other at its end. For operations of a few microseconds, as in a small
    network, that costs more than parallelism gains.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
