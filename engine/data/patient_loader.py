"""A DataLoader that does not wait forever for worker processes that have stopped."""

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data import DataLoader, Dataset

workers: set[BaseProcess] = set()
"""The workers of all loaders: if one hangs, others may hang too, and the process would wait for them at exit."""


def kill_workers() -> None:
    """Kills all workers without the error that torch would raise, at an arbitrary point, for a killed worker."""
    handler: Any = signal.SIG_DFL
    if is_main := threading.current_thread() is threading.main_thread():
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while workers:
        worker = workers.pop()
        worker.kill()
        worker.join()
    if is_main:
        signal.signal(signal.SIGCHLD, handler)


class PatientLoader(DataLoader[Any]):
    """Kills its workers and raises RuntimeError after waiting `worker_timeout` seconds for a batch; 0: waits forever.

    DataLoader's own timeout misses a worker that stopped while sending a batch, because the parts of a batch are
    received without a timeout, and it counts the time during which the whole program is paused (Ctrl-Z).
    """

    def __init__(self, dataset: Dataset[Any], batch_size: int, *, worker_timeout: float = 0, **settings: Any) -> None:
        super().__init__(dataset, batch_size, **settings)
        self.worker_timeout = worker_timeout

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return self._watched() if self.num_workers and self.worker_timeout else super().__iter__()

    def _watched(self) -> Iterator[Any]:
        before = {*active_children()}
        watch = _Watch(self.worker_timeout)
        try:
            with watch.waiting():
                batches = super().__iter__()
            workers.intersection_update(before)  # drops those that have exited
            workers.update({*active_children()} - before)
            atexit.unregister(kill_workers)
            atexit.register(kill_workers)  # runs before torch's handler, which would wait for stopped workers
            while True:
                with watch.waiting():
                    batch = next(batches, self)
                if batch is self:
                    return
                yield batch
        finally:
            watch.over.set()


class _Watch(threading.Thread):
    """Counts its own ticks while a batch is awaited; a paused program has no ticks."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True)
        self.seconds, self.tick = seconds, min(1, seconds / 4)
        self.over = threading.Event()
        self.is_waiting, self.waited = False, 0.0
        self.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self.waited, self.is_waiting = 0.0, True
        try:
            yield
        except Exception as error:
            if self.waited < self.seconds:
                raise
            kill_workers()
            raise RuntimeError(f"DataLoader timed out after {self.seconds} seconds") from error
        finally:
            self.is_waiting = False

    def run(self) -> None:
        while not self.over.wait(self.tick):
            self.waited += self.tick * self.is_waiting
            if self.waited >= self.seconds:
                for worker in tuple(workers):
                    worker.kill()  # the loader notices and raises
                return
