"""A DataLoader that does not wait for ever for worker processes that have stopped."""

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
"""Of all loaders: if one does not answer, the others may not either, and would be waited for at the end."""


def kill_workers() -> None:
    """Kills and forgets them without the error that torch raises, at any moment, for a worker that is killed."""
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
    """Kills its workers, and raises, after waiting `worker_timeout` seconds for one batch; 0: it waits for ever.

    DataLoader's own timeout does not notice a worker that stopped with a batch on the way, since the pieces of that are
    fetched without a limit, and it counts the time in which the whole program is paused (Ctrl-Z).
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
            workers.intersection_update(before)  # those that live
            workers.update({*active_children()} - before)
            atexit.unregister(kill_workers)
            atexit.register(kill_workers)  # before torch, which would wait for those that were stopped
            while True:
                with watch.waiting():
                    batch = next(batches, self)
                if batch is self:
                    return
                yield batch
        finally:
            watch.over.set()


class _Watch(threading.Thread):
    """Counts its own ticks while something is waited for: a paused program has none."""

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
                    worker.kill()  # which the loader notices
                return
