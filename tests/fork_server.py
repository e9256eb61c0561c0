"""The process that tests/forked.py forks its processes from; it has imported what the project's entry points import."""

import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

SIZE = 1 << 20  # bytes, of the largest request
Request = dict[str, Any]


class Ends:
    """Reaps the forked processes, and reports each one's wait status to the socket that it was requested with."""

    def __init__(self) -> None:
        self.awaited: dict[int, socket.socket] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        while self.awaited:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self.awaited.pop(pid) as asking, suppress(BrokenPipeError):  # a test may no longer want to know
                asking.send(str(status).encode())


class Forked(NamedTuple):
    """A forked process's `arguments`, the script first, `environment` and `folder`, and its three streams."""

    request: Request
    streams: list[int]


def serve(requests: socket.socket) -> Forked:
    """Forks a process for each request. Returns in the forked ones alone; this one exits with the last request."""
    ends = Ends()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, ends)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, SIZE, 4)
        if not message:
            for pid in ends.awaited:
                os.kill(pid, signal.SIGKILL)
            sys.exit()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # until the new process is awaited
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, before)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            for inherited in (requests, *ends.awaited.values()):
                inherited.close()
            os.close(descriptors[3])
            return Forked(json.loads(message), descriptors[:3])
        *streams, asking = descriptors
        for stream in streams:
            os.close(stream)
        ends.awaited[pid] = socket.socket(fileno=asking)
        ends.awaited[pid].send(str(pid).encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def become(request: Request, streams: list[int]) -> None:
    """Runs the script as `python script ...` would."""
    import numpy as np

    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    np.random.seed()
    sys.argv = request["arguments"]
    sys.orig_argv[:] = [sys.executable, *sys.argv]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).parents[1]))
    import tests.preloaded  # noqa: F401

    forked = serve(socket.socket(fileno=int(sys.argv[1])))
    become(*forked)
