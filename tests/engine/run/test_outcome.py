import json
from pathlib import Path

from engine.run.outcome import outcome, write_outcome


def test_outcome(tmp_path: Path) -> None:
    assert outcome(tmp_path) == {}
    write_outcome(tmp_path, {"status": "failed", "error": "killed by SIGKILL"})
    assert outcome(tmp_path) == json.loads((tmp_path / "metrics.json").read_text())
    assert outcome(tmp_path)["error"] == "killed by SIGKILL"
