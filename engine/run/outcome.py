"""A run's metrics.json: how it ended and with what. Nothing here imports torch."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.files import replace_text

FILE = "metrics.json"
MAX_BYTES = 1 << 24

Value = float | int | str | bool | None


class Outcome(BaseModel, extra="allow"):
    """What is relied on; everything else is a metric or a circumstance."""

    __pydantic_extra__: dict[str, Value | dict[str, Value | list[Value] | dict[str, Value]]]

    status: str


def outcome(directory: Path) -> dict[str, Any]:
    """The content; empty if the run in `directory` has not ended, and if the file is not what a run writes."""
    file = directory / FILE
    try:
        content = json.loads(file.read_bytes()) if file.is_file() and file.stat().st_size < MAX_BYTES else {}
        return Outcome.model_validate(content).model_dump()
    except (OSError, ValueError, RecursionError):  # cut off, say, as the power failed
        return {}


def write_outcome(directory: Path, content: dict[str, Any]) -> None:
    """Writes it, whole or not at all."""
    replace_text(directory / FILE, json.dumps(content, indent=2) + "\n")
