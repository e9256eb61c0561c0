"""Logs to TensorBoard's event files."""

import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning import loggers
from pytorch_lightning.utilities import rank_zero_only

from engine.loggers.curve_files import SPLITS, tag_of

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def checksum_in_c() -> None:
    """Replaces TensorBoard's checksum, in Python, by the same in C: 2,000 times as fast on a picture."""
    from google_crc32c import value
    from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

    pywrap_tensorflow.crc32c = value


@cache
def quiet_writers() -> None:
    """Keeps TensorBoard's threads from printing an error that the next write or flush raises anyway."""
    others = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        if type(failed.thread).__name__ != "_AsyncWriterThread":
            others(failed)

    threading.excepthook = hook


class TensorBoardLogger(loggers.TensorBoardLogger):
    """Lightning's TensorBoardLogger, with tags that sort curves in the order in which one looks at them (tag_of).

    With `apart`, training, validation and test are separate runs in sub-directories, because TensorBoard draws one tag
    of all runs in one chart, and only runs in different colors. Writes no hparams.yaml, and no epoch numbers, since
    TensorBoard has the steps.
    """

    def __init__(self, *, save_dir: str, apart: bool) -> None:
        super().__init__(save_dir, name="", version="", default_hp_metric=False)
        checksum_in_c()
        quiet_writers()
        self.apart = apart
        self._writers: dict[str, SummaryWriter] = {}

    def writer(self, run: str) -> "SummaryWriter":
        """The writer of a sub-directory, or the logger's own for an empty name. Creates its file."""
        if not run:
            return self.experiment
        self.experiment  # noqa: B018 (the directory has a file of its own, whatever is logged)
        if run not in self._writers:
            from torch.utils.tensorboard import SummaryWriter  # only here, as in Lightning: slow to import

            self._writers[run] = SummaryWriter(str(Path(self.log_dir, run)))
        return self._writers[run]

    def open_again(self) -> None:
        """Opens new files for all runs that exist in the directory."""
        for run in ("", *SPLITS):
            if not run or Path(self.log_dir, run).is_dir():
                self.writer(run)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            if name != "epoch":
                run, tag = tag_of(name, metrics, self.apart)
                self.writer(run).add_scalar(tag, value, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: callbacks/hyper_parameters.py logs what a sweep varies."""

    @rank_zero_only
    def save(self) -> None:
        """Flushes the logged values to the files."""
        for writer in self._open():
            writer.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if status == "success":
            self.save()  # raises what has failed since the last write
        for writer in self._open():
            writer.close()

    def _open(self) -> Iterator["SummaryWriter"]:
        yield from (writer for writer in (self._experiment, *self._writers.values()) if writer is not None)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_writers": {}}
