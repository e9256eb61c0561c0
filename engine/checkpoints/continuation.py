"""The curves of a run that continues: cut back to its checkpoint, or restored if it fails before its first save."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from engine.files import PARTIAL, open_plain
from engine.loggers import tensorboard_logger
from engine.loggers.curve_files import EVENTS, curve_files


def curve_sizes(directory: Path) -> dict[str, int]:
    """The sizes in bytes of all curve files, by their paths relative to the run directory."""
    return {path.relative_to(directory).as_posix(): path.stat().st_size for path in curve_files(directory)}


class Curves:
    """Truncates the curve files to `sizes` (bytes), and removes those not in it; `undo` restores them.

    The removed parts, the points since the last checkpoint, are kept in memory. `before`: the sizes before loggers
    opened files of their own, which `undo` removes; by default the present ones.
    """

    def __init__(self, directory: Path, sizes: dict[str, int], before: dict[str, int] | None = None) -> None:
        self.directory = directory
        self._sizes = curve_sizes(directory) if before is None else before
        self._tails: dict[str, tuple[int, bytes]] = {}
        for name, size in self._sizes.items():
            kept = sizes.get(name, 0)
            if kept < size:
                path = directory / name
                with open_plain(path, "r+b") as file:
                    file.seek(kept)
                    self._tails[name] = kept, file.read()
                    file.truncate(kept)
                if not kept:
                    path.unlink()

    def undo(self) -> None:
        for path in list(curve_files(self.directory)):
            if path.relative_to(self.directory).as_posix() not in self._sizes:
                path.unlink()
        for name, size in self._sizes.items():
            kept, tail = self._tails.get(name, (size, b""))
            with open_plain(self.directory / name, "ab") as file:
                file.truncate(kept)
                file.write(tail)


def open_behind(loggers: Iterable[Logger]) -> None:
    """Makes TensorBoard's loggers open files whose names sort after those of existing files.

    TensorBoard reads files in the order of their names, which start with the time, and the clock may have gone back.
    """
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            continue
        stamps = [path.name.split(".")[3] for path in Path(logger.log_dir).rglob(EVENTS)]
        newest = max((int(stamp) for stamp in stamps if stamp.isdecimal()), default=0)
        if newest >= int(time.time()):
            with _clock_of_names(newest + 1):
                if isinstance(logger, tensorboard_logger.TensorBoardLogger):
                    logger.open_again()
                else:
                    logger.experiment  # noqa: B018 (opens the file)


@contextmanager
def _clock_of_names(now: int) -> Iterator[None]:
    """New event files are named with this time in the context."""
    from tensorboard.summary.writer import event_file_writer  # not needed without TensorBoard

    main = threading.current_thread()
    clock = SimpleNamespace(time=lambda: now if threading.current_thread() is main else time.time())
    before, event_file_writer.time = event_file_writer.time, clock
    try:
        yield
    finally:
        event_file_writer.time = before


def remove_cut_off_writes(directory: Path) -> None:
    """Removes partial files left by a kill."""
    for folder in (directory, directory / "checkpoints"):
        for path in folder.glob(f".*{PARTIAL}"):
            if path.is_file():
                path.unlink()
