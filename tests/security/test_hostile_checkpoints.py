"""Checkpoints of strangers: none runs code, whatever the environment asks for, and each is refused in a sentence."""

import hashlib
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.checkpoints.checkpoint_io import MARK, AtomicCheckpointIO, load_checkpoint
from engine.errors import UserError
from engine.features.feature_cache import cached_arrays
from tests.conftest import run_script

FORCED = ("", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
"""Variables of the environment that are set to 1."""


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.canary), "w")


def checkpoint(content: Any) -> bytes:
    """As torch.save writes it."""
    archive = io.BytesIO()
    torch.save(content, archive)
    return archive.getvalue()


def zipped(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return archive.getvalue()


def legacy(content: Any) -> bytes:
    archive = io.BytesIO()
    torch.save(content, archive, _use_new_zipfile_serialization=False)
    return archive.getvalue()


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "an object": lambda canary: checkpoint(Evil(canary)),
    "an object among weights": lambda canary: checkpoint({"state_dict": {"w": torch.ones(1)}, "epoch": Evil(canary)}),
    "an object in the hyper-parameters": lambda canary: checkpoint({"hyper_parameters": {"a": [Evil(canary)]}}),
    "an object in the old format": lambda canary: legacy({"state_dict": {}, "x": Evil(canary)}),
    "a pickle": lambda canary: pickle.dumps(Evil(canary)),
    "a whole network": lambda canary: checkpoint(torch.nn.Linear(1, 1)),
    "a function": lambda canary: checkpoint({"a": os.system}),
    "a TorchScript": lambda canary: zipped(**{"a/data.pkl": b"x", "a/constants.pkl": b"x", "a/version": b"3"}),
    "a zip with a pickle": lambda canary: zipped(**{"a/version": b"3", "a/data.pkl": pickle.dumps(Evil(canary))}),
    "a zip without": lambda canary: zipped(**{"a/b": b"x"}),
    "a list": lambda canary: checkpoint([torch.ones(1)]),
    "garbage": lambda canary: b"\x80\x02garbage",
    "nothing": lambda canary: b"",
}


def write(path: Path, content: bytes) -> Path:
    """With a good checksum, which a stranger can compute as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content + MARK + hashlib.sha256(content).digest())
    return path


def test_the_canary_sings(tmp_path: Path) -> None:
    torch.load(io.BytesIO(checkpoint(Evil(tmp_path / "canary"))), weights_only=False).close()
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("forced", FORCED)
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file that looks like a TorchScript:UserWarning")
def test_hostile_checkpoints(name: str, forced: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if forced:
        monkeypatch.setenv(forced, "1")
    canary = tmp_path / "canary"
    path = write(tmp_path / "last.ckpt", HOSTILE[name](canary))
    for load in (load_checkpoint, AtomicCheckpointIO().load_checkpoint):
        with pytest.raises(
            UserError, match=r"last\.ckpt is refused: it (contains something other|is not a checkpoint)"
        ) as caught:
            load(path)
        assert len(str(caught.value).splitlines()) == 1
    assert not canary.exists()


def test_nobody_can_ask_for_more(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = write(tmp_path / "last.ckpt", checkpoint(Evil(canary)))
    with pytest.raises(UserError, match="refused"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
    assert not canary.exists()


@pytest.mark.parametrize(
    "path", ["http://127.0.0.1:9/last.ckpt", "file:///last.ckpt", "s3://bucket/last.ckpt", "memory://a"]
)
def test_only_files_of_this_machine(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="damaged or missing"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_hostile_features(tmp_path: Path) -> None:
    """An array of objects in the place of a cached one, with its checksum beside it."""
    canary = tmp_path / "canary"

    def compute(arrays: dict[str, torch.Tensor]) -> None:
        arrays["x"].fill_(1)

    cached_arrays(tmp_path / "cache", {}, {"x": (1,)}, compute)
    (array,) = (tmp_path / "cache").glob("*/x.npy")
    before = hashlib.sha256(array.read_bytes()).hexdigest()
    np.save(array, np.array([Evil(canary)], dtype=object), allow_pickle=True)
    key = array.with_name("key.json")
    key.write_text(key.read_text().replace(before, hashlib.sha256(array.read_bytes()).hexdigest()))
    assert cached_arrays(tmp_path / "cache", {}, {"x": (1,)}, compute)["x"].tolist() == [1]  # computed again
    assert not canary.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["train.py", "resume=RUN"],
        ["evaluate.py", "run=RUN"],
        ["predict.py", "run=RUN", "input=x"],
        ["export.py", "run=RUN"],
        ["report.py", "run=RUN"],
    ],
)
def test_entry_points_refuse_it_in_a_sentence(
    command: list[str], run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    stolen = tmp_path / "run"
    shutil.copytree(run_dir, stolen)
    canary = tmp_path / "canary"
    for path in (stolen / "checkpoints").glob("*.ckpt"):
        write(path, checkpoint({"state_dict": {}, "hyper_parameters": {}, "curves": {}, "x": Evil(canary)}))
    done = run_script(command[0], *(word.replace("RUN", str(stolen)) for word in command[1:]), cwd=tmp_path)
    assert done.returncode == 1
    assert "ckpt is refused: it contains something other than tensors and plain values" in done.stderr
    assert "Traceback" not in done.stderr
    assert not canary.exists()


@pytest.mark.parametrize("attack", ["pipe", "link", "folder", "shape", "type", "huge", "key"])
def test_a_feature_cache_of_a_strangers(attack: str, tmp_path: Path) -> None:
    """Computed again, in place of what a stranger put there with good checksums; nothing hangs, nothing is followed."""

    def compute(arrays: dict[str, torch.Tensor]) -> None:
        arrays["x"].fill_(1)

    canary = tmp_path / "canary"
    canary.write_text("mine")
    cached_arrays(tmp_path / "cache", {}, {"x": (2,)}, compute)
    (array,) = (tmp_path / "cache").glob("*/x.npy")
    key = array.with_name("key.json")
    before = hashlib.sha256(array.read_bytes()).hexdigest()
    array.unlink()
    if attack == "pipe":
        os.mkfifo(array)
    elif attack == "link":
        array.symlink_to(canary)
    elif attack == "folder":
        array.mkdir()
    else:
        values = {"shape": np.zeros(3, np.float32), "type": np.array(["a", "b"])}
        np.save(array, values.get(attack, np.zeros(2, np.float32)))
        if attack == "huge":
            array.write_bytes(array.read_bytes().replace(b"(2,)", b"(9999999999999,)"))
        key.write_text(key.read_text().replace(before, hashlib.sha256(array.read_bytes()).hexdigest()))
        if attack == "key":
            key.write_text("[" * 100_000)
    assert cached_arrays(tmp_path / "cache", {}, {"x": (2,)}, compute)["x"].tolist() == [1, 1]
    assert canary.read_text() == "mine"
