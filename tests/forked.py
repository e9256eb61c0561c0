"""Entry points of the project in processes of their own, forked from one that has imported torch and Lightning.

A start then takes a tenth of a second instead of ten, nearly all of which is imports. From there on, such a process is
like any that a user starts: it runs the script from its first line, gets signals, starts workers, ends as Python does.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TypeAlias

ROOT = Path(__file__).parent.parent

READ_ONCE = ("PYTHON", "OMP_", "MKL_", "KMP_", "LD_", "LANG", "LC_", "TORCH", "HF_")
"""Beginnings of variables that are read once, at import: a process with another value of one is not forked."""


ENVIRONMENT = dict(os.environ)
"""What each test starts with; tests/conftest.py adds to it."""


class Process:
    """What tests use of `subprocess.Popen`; what was printed is read once the process has ended."""

    def __init__(self, command: list[str], asking: socket.socket, outputs: Sequence[IO[str]]) -> None:
        self.args, self._asking, self._outputs, self._printed = command, asking, outputs, ["", ""]
        self.pid = int(asking.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit code, that of a signal negative."""
        if self.returncode is None:
            self._asking.settimeout(timeout)
            try:
                status = self._asking.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._asking.close()
            self._printed = [_closed(output) for output in self._outputs]
            self.returncode = os.waitstatus_to_exitcode(int(status))
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for the end, and returns what was printed."""
        self.wait(timeout)
        out, errors = self._printed
        return out, errors

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.wait()


def _closed(output: IO[str]) -> str:
    """What was written to it."""
    if output.closed:
        return ""
    with output:
        output.seek(0)
        return output.read()


Started: TypeAlias = "Process | subprocess.Popen[str]"


def start(
    script: str, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None, output: Path | None = None
) -> Started:
    """Starts `python <script> ...`, an entry point of the project.

    Args:
        environment: Variables that differ from this process's.
        output: A file to which everything printed is added; otherwise, `communicate` returns it.
    """
    command = [sys.executable, str(ROOT / script), *arguments]
    variables = {**os.environ, **(environment or {})}
    if not _can_be_forked(variables):
        with output.open("a") if output else nullcontext(subprocess.PIPE) as to:
            return subprocess.Popen(command, cwd=cwd, env=variables, text=True, stdout=to, stderr=to)
    outputs = (output.open("a+", errors="replace"),) * 2 if output else (TemporaryFile("w+"), TemporaryFile("w+"))  # noqa: SIM115
    request = {"arguments": command[1:], "environment": variables, "folder": str(cwd)}
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its, Path(os.devnull).open() as nothing:
        descriptors = [nothing.fileno(), *(stream.fileno() for stream in outputs), its.fileno()]
        socket.send_fds(_server(), [json.dumps(request).encode()], descriptors)
    return Process(command, ours, outputs)


def run(
    script: str, *arguments: str, cwd: Path, timeout: float = 120, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """`subprocess.run` of `python <script> ...`, an entry point of the project."""
    with start(script, *arguments, cwd=cwd, environment=environment) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.wait(), output, errors)


def _can_be_forked(environment: Mapping[str, str]) -> bool:
    if not sys.platform.startswith("linux"):  # libraries of other systems may crash after a fork
        return False
    names = {name for name in {*environment, *ENVIRONMENT} if name.startswith(READ_ONCE)}
    return all(environment.get(name) == ENVIRONMENT.get(name) for name in names)


@cache
def _server() -> socket.socket:
    """Forks processes as long as this process lives."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, str(ROOT / "tests" / "fork_server.py"), str(its.fileno())]
        process = subprocess.Popen(command, env=ENVIRONMENT, pass_fds=(its.fileno(),), stdin=subprocess.DEVNULL)
    atexit.register(_end, ours, process)
    return ours


def _end(requests: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    requests.close()
    process.wait()
