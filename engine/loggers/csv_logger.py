"""Logs curves to a CSV file."""

import csv
import io
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from engine.files import open_plain


class CSVLogger(Logger):
    """Writes `<save_dir>/metrics.csv` with one row per value (step, name, value), in order of logging.

    Rows are only appended, so a resumed run can drop the rows after its checkpoint and continue. Lightning's own logger
    starts a new file, and rewrites it for every new name.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__()
        self.file = Path(save_dir, "metrics.csv")
        self._stream: TextIO | None = None

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.file.parent)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self._stream is None:
            self._stream = io.TextIOWrapper(open_plain(self.file, "ab"), encoding="utf-8", newline="")
            if not self._stream.tell():
                self._stream.write("step,name,value\n")
        csv.writer(self._stream, lineterminator="\n").writerows([step, name, value] for name, value in metrics.items())

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: hyperparameters are in config.yaml."""

    def save(self) -> None:
        """Flushes the logged values to the file."""
        if self._stream is not None:
            self._stream.flush()

    def finalize(self, status: str) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
