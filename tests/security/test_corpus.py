"""Some three hundred hostile run directories, by kind: each name says what it attempts.

A failure shows by a canary (a file, or a folder with one, outside the run directory) that is changed or gone, by any
exception but a UserError of one line, or by more than a few seconds.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.checkpoints.content import require_shape
from engine.checkpoints.continuation import Curves, curve_sizes, remove_cut_off_writes
from engine.errors import UserError
from engine.run.find import find_run
from engine.run.outcome import outcome
from engine.run.trust.stored_config import read_run_config
from tests.security.test_hostile_checkpoints import checkpoint, write

Attack = Callable[[Path, Path], Any]
"""Takes the run directory and the canary's folder."""

FILES = ("config.yaml", "metrics.json", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "events.out.tfevents.1.x")
NEW = (
    "metrics.csv",
    ".metrics.json.1.partial",
    "checkpoints/.x.ckpt.partial",
    "projector",
    "a/b",
    ".lock",
    "x.ckpt.prev",
)
GARBAGE = (
    b"",
    b"\0" * 99,
    b"{",
    b"[]",
    b"[" * 99_999,
    b"\xff\xfe",
    b"9" * 9999,
    b"PK\x03\x04",
    b'{"a": NaN}',
    b"\x80\x02.",
)
PLACES = ("CANARY", "file://CANARY", "local://CANARY", "~/x", "$HOME/x", "../canary", "CANARY/x.ckpt", "a::CANARY", "")
KEYS = ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path", "best_k_models", "anything")
CONFIG_KEYS = ("logger.x.save_dir", "callback.x.dirpath", "callback.x.filename", "trainer.default_root_dir", "name")


def put(path: Path, make: Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        path.unlink()
    make(path)


def special(place: str, kind: str) -> Attack:
    def attack(run: Path, canary: Path) -> None:
        make: dict[str, Callable[[Path], Any]] = {
            "link": lambda path: path.symlink_to(canary / "file"),
            "link to a folder": lambda path: path.symlink_to(canary),
            "dangling link": lambda path: path.symlink_to(canary / "none"),
            "link to itself": lambda path: path.symlink_to(path),
            "pipe": os.mkfifo,
            "folder": lambda path: path.mkdir(),
        }
        put(run / place, make[kind])

    return attack


def content(place: str, data: bytes) -> Attack:
    return lambda run, canary: put(run / place, lambda path: path.write_bytes(data))


def state(key: str, place: str) -> Attack:
    def attack(run: Path, canary: Path) -> None:
        value = place.replace("CANARY", str(canary))
        states = {"X": {key: {value: torch.tensor(1e9)} if key == "best_k_models" else value}}
        write(run / "checkpoints" / "last.ckpt", checkpoint({"state_dict": {}, "callbacks": states}))

    return attack


def setting(key: str, place: str) -> Attack:
    def attack(run: Path, canary: Path) -> None:
        node: Any = place.replace("CANARY", str(canary))
        for part in reversed(key.split(".")):
            node = {part: node}
        (run / "config.yaml").write_text(json.dumps(node))

    return attack


def corpus() -> Iterator[tuple[str, Attack]]:
    kinds = ("link", "link to a folder", "dangling link", "link to itself", "pipe", "folder")
    for place in (*FILES, *NEW):
        yield from ((f"{kind} as {place}", special(place, kind)) for kind in kinds)
    for place in FILES[:4]:
        for number, data in enumerate(GARBAGE):
            yield f"garbage {number} as {place}", content(place, data)
            signed = place.endswith(".ckpt")
            if signed:
                yield f"signed garbage {number} as {place}", lambda run, _, p=place, d=data: write(run / p, d)
    for place in PLACES:
        yield from ((f"{place} as {key} of a callback", state(key, place)) for key in KEYS)
        yield from ((f"{place} as {key} in the config", setting(key, place)) for key in CONFIG_KEYS)


CORPUS = dict(corpus())


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "file").write_text("mine")
    (tmp_path / "canary" / "x.ckpt").write_text("mine")
    return tmp_path / "canary"


def use(run: Path) -> None:
    """What resume, evaluate and a sweep do with a directory before anything is trained."""
    found, _ = find_run(run)
    read_run_config(found, "resume=x")
    outcome(found)
    path = found / "checkpoints" / "last.ckpt"
    content = load_checkpoint(path)
    for entry in content.get("callbacks", {}).values():  # as Lightning removes a checkpoint
        for place in [*entry.values(), *(entry.get("best_k_models") or {})]:
            if isinstance(place, str) and place and Path(place).is_absolute() and Path(place).exists():
                shutil.rmtree(place) if Path(place).is_dir() else Path(place).unlink()
    remove_cut_off_writes(found)
    Curves(found, dict.fromkeys(curve_sizes(found), 1)).undo()
    require_shape(content, path, to_resume=True)


def test_it_is_large_enough() -> None:
    assert len(CORPUS) >= 200


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_is_exploited(name: str, run_dir: Path, canary: Path) -> None:
    run = Path(shutil.copytree(run_dir, canary.parent / "run", ignore=shutil.ignore_patterns("*.html", "projector")))
    CORPUS[name](run, canary)
    started = time.monotonic()
    try:
        use(run)
    except UserError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    assert time.monotonic() - started < 5
    assert (canary / "file").read_text() == (canary / "x.ckpt").read_text() == "mine"
    assert sorted(path.name for path in canary.iterdir()) == ["file", "x.ckpt"]
