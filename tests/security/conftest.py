"""What no hostile config may make."""

from pathlib import Path

import pytest


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that nothing may make, though `evil` can be imported and would make it."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\nclass Net: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "canary"
