"""Paths, sizes and forms in a stranger's checkpoints: nothing outside the run directory is named by what is loaded.

A failure shows by a path in the loaded states that leads out of the run directory, or by a file there that is gone.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.checkpoints.content import require_shape
from engine.errors import UserError
from engine.paths import is_place
from tests.security.test_hostile_checkpoints import checkpoint, write

PLACES = [
    *(
        "/any/folder",
        "local:///any/folder",
        "file:///etc/x.ckpt",
        "simplecache::/any/x.ckpt",
        "~/x.ckpt",
        "$HOME/x.ckpt",
    ),
    *("..", "../../x.ckpt", "checkpoints/../../../x.ckpt", "..\\..\\x.ckpt", "C:\\x.ckpt", "\\\\server\\x.ckpt"),
    *("config.yaml", "checkpoints", ".", "", "checkpoints/none.ckpt", "s3://bucket/x.ckpt", "/any/\0.ckpt", "x" * 300),
]


def loaded(run: Path, states: dict[str, Any]) -> dict[str, Any]:
    run.mkdir(exist_ok=True)
    (run / "config.yaml").write_text("{}")
    path = write(run / "checkpoints" / "last.ckpt", checkpoint({"state_dict": {}, "callbacks": states}))
    found: dict[str, Any] = load_checkpoint(path)["callbacks"]
    return found


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("callback", ["ModelCheckpoint{}", "SomebodysCheckpoint"])
def test_paths_in_states_are_rebuilt(place: str, callback: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    state = {
        "dirpath": place,
        "best_model_path": place,
        "kth_best_model_path": place,
        "last_model_path": place,
        "best_k_models": {place: torch.tensor(1e9)},
        "nested": [{"x": (place,)}],
    }
    state = loaded(run, {callback: state})[callback]
    named = [state["dirpath"], state["best_model_path"], state["kth_best_model_path"], state["last_model_path"]]
    for path in [*named, *state["nested"][0]["x"][: is_place(place)]]:
        assert path == "" or Path(path).resolve().is_relative_to(run / "checkpoints")
    assert not state["best_k_models"]


def test_lightnings_own_deletes_nothing(tmp_path: Path) -> None:
    """It removes, recursively, what its state calls its worst checkpoint."""
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    evil = f"local://{treasure}"
    state = {
        "monitor": "val/loss",
        "best_model_score": None,
        "best_model_path": "",
        "current_score": None,
        "best_k_models": {evil: torch.tensor(1e9)},
        "kth_best_model_path": evil,
        "kth_value": torch.tensor(1e9),
        "last_model_path": evil,
    }
    callback = ModelCheckpoint(dirpath=tmp_path / "run" / "checkpoints", monitor="val/loss")
    callback.load_state_dict(loaded(tmp_path / "run", {"x": state})["x"])
    assert not callback.best_k_models
    assert callback.kth_best_model_path == callback.last_model_path == ""


def test_those_of_a_moved_run_are_found_again(tmp_path: Path) -> None:
    run = tmp_path / "moved"
    (run / "checkpoints" / "kept").mkdir(parents=True)
    for name in ("best.ckpt", "kept/a.ckpt"):
        (run / "checkpoints" / name).write_bytes(b"")
    before = "/earlier/logs/run/checkpoints"
    kept = {f"{before}/kept/a.ckpt": 1.0, f"{before}/gone.ckpt": 2.0}
    state = {"dirpath": before, "best_model_path": f"{before}/best.ckpt", "best_k_models": kept, "monitor": "val/loss"}
    state = loaded(run, {"ModelCheckpoint{'monitor': 'val/loss'}": state})["ModelCheckpoint{'monitor': 'val/loss'}"]
    assert state["monitor"] == "val/loss"
    assert state["dirpath"] == str(run / "checkpoints")
    assert state["best_model_path"] == str(run / "checkpoints" / "best.ckpt")
    assert state["best_k_models"] == {str(run / "checkpoints" / "kept" / "a.ckpt"): 1.0}


def test_no_archive_that_unpacks_to_more(tmp_path: Path) -> None:
    plain = checkpoint({"state_dict": {"w": torch.zeros(1_000_000)}})
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as before, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in before.infolist():
            after.writestr(entry.filename, before.read(entry))
    write(tmp_path / "last.ckpt", plain)
    load_checkpoint(tmp_path / "last.ckpt")
    write(tmp_path / "last.ckpt", packed.getvalue())
    with pytest.raises(UserError, match=r"last\.ckpt is refused: it is compressed"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_no_tensor_larger_than_its_storage(tmp_path: Path) -> None:
    write(tmp_path / "last.ckpt", checkpoint({"state_dict": {"w": torch.zeros(1).expand(1 << 40)}}))
    with pytest.raises(UserError, match="exceed the file"):
        load_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *(("state_dict", 1), ("state_dict", []), ("callbacks", "x"), ("optimizer_states", {}), ("lr_schedulers", [1])),
        *(("epoch", -1), ("epoch", "1"), ("global_step", None), ("curves", {"a": -1}), ("curves", [1])),
        *(("hyper_parameters", []), ("optimizer_states", [1])),
    ],
)
def test_parts_of_another_type(part: str, value: Any, tmp_path: Path) -> None:
    write(tmp_path / "last.ckpt", checkpoint({"state_dict": {}, part: value}))
    with pytest.raises(UserError, match=rf"last\.ckpt is refused: its part {part}.* is not what a checkpoint contains"):
        load_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("part", ["loops", "state_dict", "callbacks", "optimizer_states", "epoch", "global_step"])
def test_what_a_training_needs(part: str, run_dir: Path) -> None:
    path = run_dir / "checkpoints" / "last.ckpt"
    content = load_checkpoint(path)
    require_shape(content, path, to_resume=True)
    del content[part]
    with pytest.raises(UserError, match=f"refused: its part {part}"):
        require_shape(content, path, to_resume=True)
