"""Files in a run's or sweep's directory, a feature cache or an export are opened by engine/files.py alone.

A failure shows by a call, anywhere else in the source, that opens a file by its name and is not in the list below.
"""

import ast
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.files import ALLOW_LINKS, open_plain
from tests.conftest import ROOT

OPENING = {
    *("open", "fdopen", "open_memmap", "memmap", "fromfile", "tofile", "ZipFile", "FileHandler", "InferenceSession"),
    *("read_text", "read_bytes", "write_text", "write_bytes", "touch", "mkfifo", "truncate", "savefig", "safe_open"),
    *("copyfile", "copy2", "copytree", "load_file", "save_file", "load_model", "save_model", "symlink_to", "open_text"),
}
OF_MODULES = {"torch", "torch.export", "np", "numpy", "OmegaConf", "onnx", "pickle", "joblib"}
"""Whose `load` and `save` take paths."""

NO_FILES = {"engine/data_check", "engine/downloads", "engine/photos", "engine/photos/layouts"}
"""The user's photos and data sets, and folders in data_dir."""

MAY_OPEN = {
    "engine/files.py": {"open"},
    # What was opened there, or lies in memory.
    "engine/checkpoints/architecture.py": {"torch.load"},
    "engine/checkpoints/checkpoint_io.py": {"torch.load", "torch.save"},
    "engine/checkpoints/content.py": {"ZipFile"},
    "engine/checkpoints/continuation.py": {"truncate"},
    "engine/features/feature_cache.py": {"memmap", "open_memmap"},  # a new folder's; what was opened there
    "engine/features/feature_shards.py": {"write_bytes"},  # a new folder's
    "engine/features/openvino_engine.py": {"save_model"},  # a new folder's
    "engine/pages/figure.py": {"savefig"},  # in memory
    "engine/pages/plots.py": {"write_text"},  # into a drawing
    "engine/report/drawings.py": {"write_text"},  # likewise
    "engine/run/trust/allowlist.py": {"OmegaConf.load"},
    "engine/run/trust/stored_config.py": {"OmegaConf.load"},
    # A file that the same process has just made, under a random name.
    "engine/results/export_formats.py": {
        *("torch.load", "torch.save", "torch.export.load", "torch.export.save"),
        *("load_model", "save_model", "InferenceSession", "onnx.load"),
    },
    # The project's own files, and the machine's.
    "engine/build.py": {"read_bytes"},
    "engine/config/arguments.py": {"read_text", "OmegaConf.load"},
    "engine/config/choices.py": {"OmegaConf.load"},
    "engine/config/composition.py": {"read_bytes"},
    "engine/config/defaults_list.py": {"read_text"},
    "engine/config/help.py": {"read_text"},
    "engine/preflight/chosen.py": {"read_text"},
    "engine/preflight/root.py": {"OmegaConf.load"},
    "engine/compare/listing.py": {"OmegaConf.load"},
    "engine/report/page.py": {"read_text"},
    "engine/results/cross_validation.py": {"OmegaConf.load"},
    "engine/run/config_file.py": {"read_text"},
    "engine/config/completion.py": {"read_text"},
    "engine/process/stop.py": {
        "read_text",
        "write_text",
        "read_bytes",
    },  # a SLURM job's note to itself, in logs/; /proc
}


def calls(source: str) -> Iterator[str]:
    """The calls in a module that open files by their names."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("load", "save") and owner in OF_MODULES:
            yield f"{owner}.{name}"
        elif name in OPENING:
            yield name


def modules() -> Iterator[Path]:
    yield from ROOT.glob("*.py")
    for folder in ("engine", "callbacks", "lightning_modules", "hydra_plugins"):
        yield from (ROOT / folder).rglob("*.py")


def test_no_other_code_opens_files() -> None:
    found: dict[str, set[str]] = {}
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        if path.parent.relative_to(ROOT).as_posix() not in NO_FILES and (names := set(calls(path.read_text()))):
            found[name] = names
    assert found == MAY_OPEN


@pytest.mark.parametrize(
    "line", ["open(path)", "path.open('rb')", "os.open(path, 0)", "torch.load(path)", "Path('x').read_text()"]
)
def test_it_sees_them(line: str) -> None:
    assert list(calls(f"def f():\n    return [{line}]"))


MAKE: dict[str, Callable[[Path], Any]] = {
    "link": lambda path: path.symlink_to(path.with_name("canary")),
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("mode", ["rb", "r+b", "ab"])
def test_only_regular_files(kind: str, mode: Any, tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("mine")
    MAKE[kind](tmp_path / "file")
    with pytest.raises((UserError, IsADirectoryError)):
        open_plain(tmp_path / "file", mode)
    assert (tmp_path / "canary").read_text() == "mine"


@pytest.mark.parametrize("mode", ["r+b", "ab"])
def test_a_file_of_two_names_is_not_written(mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "canary").write_text("mine")
    os.link(tmp_path / "canary", tmp_path / "file")
    with pytest.raises(UserError, match="has another name"):
        open_plain(tmp_path / "file", mode)
    with open_plain(tmp_path / "file") as file:
        assert file.read() == b"mine"
    monkeypatch.setenv(ALLOW_LINKS, "1")
    open_plain(tmp_path / "file", mode).close()


@pytest.mark.parametrize("name", ["metrics.csv", "train.log", "thumbnails.jpg"])
def test_writers_leave_a_links_target_alone(name: str, tmp_path: Path) -> None:
    import torch

    from callbacks.projector import write
    from engine.loggers.csv_logger import CSVLogger
    from engine.sweep.worker import _write_to

    (tmp_path / "canary").write_text("mine")
    (tmp_path / "projector").mkdir()
    folder = tmp_path / "projector" if name == "thumbnails.jpg" else tmp_path
    (folder / name).symlink_to(tmp_path / "canary")
    if name == "thumbnails.jpg":
        write(tmp_path, torch.zeros(1, 2), [("a", "b", "wrong")], torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    else:
        with pytest.raises(UserError, match="is not a regular file"):
            CSVLogger(save_dir=str(tmp_path)).log_metrics({"x": 1.0}) if name == "metrics.csv" else _write_to(
                tmp_path / name
            )
    assert (tmp_path / "canary").read_text() == "mine"
