"""The commands that the documentation shows."""

import re
import shlex
from pathlib import Path

from tests.conftest import ROOT


def commands(file: str = "README.md", section: str | None = None) -> list[str]:
    """The lines of all ```sh fences, or of those under one heading, without the comments behind them."""
    text = Path(ROOT, file).read_text(encoding="utf-8")
    if section is not None:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for fence in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in fence.splitlines()]
    return [re.sub(r"\s+# .*", "", line) for line in lines]


def arguments(command: str, **places: object) -> list[str]:
    """What a shell makes of a command, each placeholder (RUN_DIR, PHOTOS, …) replaced."""
    words = shlex.split(command)
    for placeholder, value in places.items():
        words = [word.replace(placeholder, str(value)) for word in words]
    return words
