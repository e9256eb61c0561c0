import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from runs import directory as module
from runs.directory import new_run_directory


def test_fifty_runs_at_once_get_fifty_directories(tmp_path: Path) -> None:
    with ThreadPoolExecutor(50) as pool:
        made = list(pool.map(new_run_directory, [str(tmp_path / "logs" / "name")] * 50))
    assert len(set(made)) == 50
    assert {str(path) for path in (tmp_path / "logs" / "name").iterdir()} == set(made)


def test_even_within_the_same_microsecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [datetime(2030, 1, 2, 3, 4, 5, 6)] * 5 + [datetime(2030, 1, 2, 3, 4, 5, 7)]

    class Clock:
        @staticmethod
        def now() -> datetime:
            return moments.pop(0)

    monkeypatch.setattr(module, "datetime", Clock)
    first, second = new_run_directory(str(tmp_path)), new_run_directory(str(tmp_path))
    assert [Path(made).name for made in (first, second)] == ["2030-01-02_03-04-05_000006", "2030-01-02_03-04-05_000007"]


def test_named_by_date_and_time(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}", Path(new_run_directory(str(tmp_path))).name)
