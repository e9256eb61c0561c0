"""Keeps what C libraries write about damaged photos off the terminal: it names no file.

libtiff has handlers for its messages. libjpeg, within torchvision, writes its own to the process's stderr.
"""

import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from PIL import _imaging

STDERR = 2

OF_LIBJPEG = re.compile(
    rb"Corrupt JPEG data|Premature end of JPEG|Warning: (unknown JFIF|thumbnail image)|Unknown Adobe color transform"
    rb"|Invalid (SOS|progressive) parameters|Inconsistent progression|Inconsistency in data|Application transferred"
    rb"|Caution: quantization tables"
)
"""Beginnings of what libjpeg 6b to libjpeg-turbo 3 warn of (jerror.h): of each picture the first alone."""


def silence_libtiff() -> None:
    """Silences the libtiff that Pillow is linked with, if there is one and it is not built in."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetWarningHandler", "TIFFSetErrorHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)


class _Aside:
    """A file that replaces stderr while any thread decodes a JPEG."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads, self.before = 0, -1
        self.is_shared = False  # by threads whose messages cannot be told apart
        self.file: IO[bytes] | None = None

    def begin(self) -> None:
        with self.lock:
            if not self.threads:
                with suppress(OSError):  # stderr is closed, or no file can be made
                    self.file, self.before = tempfile.TemporaryFile(), os.dup(STDERR)  # noqa: SIM115 (closed in end)
                    os.dup2(self.file.fileno(), STDERR)
                self.is_shared = False
            self.threads += 1
            self.is_shared |= self.threads > 1

    def end(self) -> list[str]:
        """The messages, if only one thread was decoding; none if there were several."""
        with self.lock:
            self.threads -= 1
            if self.threads or self.file is None or self.before < 0:
                return []
            os.dup2(self.before, STDERR)
            self.file.seek(0)
            lines = list(self.file)
            self.file.close()
            with suppress(OSError):  # what another thread wrote meanwhile
                os.write(STDERR, b"".join(line for line in lines if not OF_LIBJPEG.match(line)))
            os.close(self.before)
            self.file, self.before = None, -1
            messages = [] if self.is_shared else [line for line in lines if OF_LIBJPEG.match(line)]
            return [line.decode(errors="replace").strip() for line in messages]


_aside = _Aside()


def _in_a_child() -> None:
    """Resets a forked process, which does not have the threads that were decoding."""
    global _aside
    if _aside.before >= 0:
        os.dup2(_aside.before, STDERR)
    _aside = _Aside()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)


@contextmanager
def libjpegs_messages() -> Iterator[list[str]]:
    """A list that holds libjpeg's messages after the block, unless other threads were in such a block meanwhile."""
    aside: Any = _aside
    aside.begin()
    messages: list[str] = []
    try:
        yield messages
    finally:
        messages += aside.end()
