"""Configs that must be refused, and leave the canary unmade."""

import sys
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.trust.stored_config import read_run_config


def assert_refused(text: str, canary: Path, match: str) -> None:
    text = text.replace("CANARY", str(canary)).replace("DIR", str(canary.parent))
    (canary.parent / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=match) as caught:
        read_run_config(canary.parent, "resume=x")
    (sentence,) = str(caught.value).splitlines()
    assert str(canary.parent / "config.yaml") in sentence
    assert not canary.exists()
    assert "evil" not in sys.modules
    assert sorted(path.name for path in canary.parent.iterdir()) == ["config.yaml", "evil.py"]
