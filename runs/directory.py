"""The run directory: made for one run alone, self-contained, movable."""

from datetime import datetime
from pathlib import Path


def new_run_directory(parent: str) -> str:
    """`parent/<date_time_microseconds>`, made here and now, so that no other run can have it too."""
    while True:
        directory = Path(parent, datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f"))
        directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return str(directory)
