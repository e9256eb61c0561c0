from pathlib import Path
from typing import Any

import pytest

from engine.checkpoints.content import own_paths


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
def test_a_path_is_the_runs_own_or_nothing(path: str, own: str, directory: Path) -> None:
    expected = str(directory / own) if own else ""
    key = "dirpath" if own == "checkpoints" else "kept"
    state = {key: path, "list": [{key: path}, ({key: path},)]}
    rebuilt = {key: expected, "list": [{key: expected}, ({key: expected},)]}
    assert of(state, directory) == rebuilt
    if key == "kept":
        assert of({"best_k_models": {path: 1.0}}, directory)["best_k_models"] == ({expected: 1.0} if own else {})


def test_other_values_stay(directory: Path) -> None:
    state = {"monitor": "val/loss", "patience": 3, "": None, "names": ["a/b", "c..d", "x"], 5: (1.5, True)}
    assert of(state, directory) == state


def of(state: dict[Any, Any], directory: Path) -> Any:
    return own_paths({"callbacks": {"callback": state}}, directory / "checkpoints")["callbacks"]["callback"]
