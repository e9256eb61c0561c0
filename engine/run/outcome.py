"""A run's metrics.json: its status and results. Nothing here imports torch."""

import json
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict

from engine.errors import UserError, printable
from engine.files import read_plain, replace_text

FILE = "metrics.json"
MAX_BYTES = 1 << 24
FORMAT = 2
"""Of metrics.json, in its key `format`: 2 counts `best/epoch` from 1; earlier files, without the key, from 0."""


class Outcome(TypedDict, total=False):
    """The keys that are read again; metrics are stored beside them."""

    status: Literal["completed", "pruned", "interrupted", "failed"]
    error: str
    stopped: str
    epochs: int | None
    seconds: float
    data: dict[str, Any] | None
    network: dict[str, Any] | None


def outcome(directory: Path) -> dict[str, Any]:
    """The content, with `best/epoch` counted from 1; empty if the run has not ended or no run wrote the file.

    UserError if something other than a regular file is in its place.
    """
    file = directory / FILE
    try:
        content = json.loads(read_plain(file, MAX_BYTES).decode("utf-8", errors="replace"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    except RecursionError:
        return {}
    try:
        found: dict[str, Any] = checked(Outcome, content, file)
    except UserError:  # not written by a run
        return {}
    if found.get("format") != FORMAT and isinstance(found.get("best/epoch"), int):
        found |= {"best/epoch": found["best/epoch"] + 1, "format": FORMAT}
    return found


def checked(schema: Any, content: Any, file: Path) -> Any:
    """Returns the content unchanged. UserError, with the place, if it does not fit the schema."""
    from pydantic import TypeAdapter, ValidationError  # slow to import

    try:
        TypeAdapter(schema).validate_python(content)
    except (ValidationError, RecursionError) as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else ""
        where = f"{place[:60]!a}" if place else "its content"
        raise UserError(f"{file} was not written by this project, or was modified: {where} is invalid.") from error
    return content


def read_json(file: Path, limit: int, schema: Any) -> Any:
    """The content of a JSON file of at most `limit` bytes. UserError if it is damaged or does not fit the schema."""
    try:
        content = json.loads(read_plain(file, limit))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {printable(error)}.") from error
    return checked(schema, content, file)


def write_outcome(directory: Path, content: dict[str, Any]) -> None:
    """Writes metrics.json atomically."""
    replace_text(directory / FILE, json.dumps(content, indent=2) + "\n")
