"""Writes predictions as rows of a table."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from engine.errors import UserError
from engine.files import replacing
from engine.wording import cell


class Write(Protocol):
    """Writes a photo's path, predicted class, probabilities and, if known, true class."""

    def __call__(self, path: Path, label: str, probabilities: Sequence[float], truth: str | None = None) -> None: ...


def csv_rows(file: IO[str], classes: Sequence[str], has_truth: bool) -> Write:
    """The columns `path`, `truth` if known, `class`, and `p_<class>` for each class."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["path", *(["truth"] if has_truth else []), "class", *(f"p_{name}" for name in classes)])

    def write(path: Path, label: str, probabilities: Sequence[float], truth: str | None = None) -> None:
        names = [cell(name or "") for name in ([truth, label] if has_truth else [label])]
        writer.writerow([cell(str(path)), *names, *(f"{probability:.6g}" for probability in probabilities)])

    return write


def json_lines(file: IO[str], classes: Sequence[str], has_truth: bool) -> Write:
    """A line per photo: `{"path": …, "truth": …, "class": …, "probabilities": {<class>: …}}`."""

    def write(path: Path, label: str, probabilities: Sequence[float], truth: str | None = None) -> None:
        rounded = [float(f"{probability:.6g}") for probability in probabilities]
        row: dict[str, Any] = {"path": str(path), **({"truth": truth} if has_truth else {}), "class": label}
        row["probabilities"] = dict(zip(classes, rounded, strict=True))
        file.write(json.dumps(row, ensure_ascii=False) + "\n")

    return write


FORMATS: dict[str, Callable[[IO[str], Sequence[str], bool], Write]] = {".csv": csv_rows, ".jsonl": json_lines}


@contextmanager
def prediction_file(path: Path, classes: Sequence[str], *, has_truth: bool = False) -> Iterator[Write]:
    """Yields a function that writes rows; `path` is replaced only when all are written. Its suffix sets the format.

    UserError for another suffix.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"output={path}: give a file that ends in {' or '.join(FORMATS)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Paths that are not UTF-8 keep their bytes.
    with replacing(path) as raw:
        file = io.TextIOWrapper(raw, "utf-8", errors="surrogateescape", newline="")
        yield FORMATS[path.suffix](file, classes, has_truth)
        file.detach()  # flushes; the file below is closed by its own context
