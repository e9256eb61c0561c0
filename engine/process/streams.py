"""Standard output and error that no terminal can make fail."""

import errno
import io
import sys
from typing import Any


class _Terminal(io.FileIO):
    """A terminal that may be closed; what is written to it then is lost, as the run's log has it too."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return memoryview(data).nbytes


def secure_streams() -> None:
    """Makes both streams replace what they cannot encode, and a terminal outlive its window or connection."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        stream.reconfigure(errors="replace")  # the terminal may only support ASCII
        if stream.isatty():
            terminal = io.BufferedWriter(_Terminal(stream.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(terminal, stream.encoding, "replace", line_buffering=True))
