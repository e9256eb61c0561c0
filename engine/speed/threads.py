"""How many threads share one operation on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_an_operation() -> Iterator[int]:
    """Inside, each operation runs on one thread; gives the number of threads that operations had.

    Threads that share an operation wait for each other at its end. For operations of a few microseconds, as a small
    network's are, that costs more than the sharing gains.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
