"""A run's metrics.json: how it ended and with what. Nothing here imports torch."""

import json
from pathlib import Path
from typing import Any

from engine.files import replace_text

FILE = "metrics.json"


def outcome(directory: Path) -> dict[str, Any]:
    """The content; empty where the run in `directory` has not ended."""
    try:
        content: dict[str, Any] = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content


def write_outcome(directory: Path, content: dict[str, Any]) -> None:
    """Writes it, whole or not at all."""
    replace_text(directory / FILE, json.dumps(content, indent=2) + "\n")
