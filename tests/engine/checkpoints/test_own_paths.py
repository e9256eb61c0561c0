from pathlib import Path

import pytest

from engine.checkpoints.own_paths import with_own_paths


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.ckpt").write_bytes(b"")
    (tmp_path / "run" / "checkpoints" / "link.ckpt").symlink_to(tmp_path)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/elsewhere/run/checkpoints/best.ckpt", "checkpoints/best.ckpt"),
        (r"C:\\runs\\1\\checkpoints\\best.ckpt", "checkpoints/best.ckpt"),
        ("file:///x/checkpoints/best.ckpt", "checkpoints/best.ckpt"),
        ("/old/run/checkpoints", "checkpoints"),
        ("../../checkpoints/best.ckpt", "checkpoints/best.ckpt"),
        ("checkpoints/../../../etc", ""),
        ("/etc/passwd", ""),
        ("local:///any/folder", ""),
        ("~/x", ""),
        ("$HOME/x", ""),
        ("/x/checkpoints/link.ckpt", ""),
    ],
)
def test_what_leads_away_is_the_runs_own_or_nothing(path: str, own: str, directory: Path) -> None:
    expected = str(directory / own) if own else ""
    assert with_own_paths(path, directory) == expected
    assert with_own_paths({"a": [path, ("b", path)]}, directory) == {"a": [expected, ("b", expected)]}
    assert with_own_paths({path: 1.0}, directory) == ({expected: 1.0} if own else {})


def test_other_values_stay(directory: Path) -> None:
    state = {"monitor": "val/loss", "patience": 3, "": None, "names": ["a/b", "c..d", "x"], 5: (1.5, True)}
    assert with_own_paths(state, directory) == state
