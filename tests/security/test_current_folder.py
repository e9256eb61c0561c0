"""Modules that lie in the folder where a command is given: none takes the place of the standard library's.

A failure shows by a canary file, which each of them makes when it is imported.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.process.startup import keep_out_current_folder
from tests.conftest import ROOT, RunTrain

NAMES = (
    "multiprocessing",
    "random",
    "json",
    "logging",
    "hashlib",
    "socket",
    "yaml",
    "numpy",
    "sitecustomize",
    "joblib",
)

since_311 = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no PYTHONSAFEPATH")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\nraise SystemExit\n")
    return tmp_path


@pytest.mark.parametrize("script", ["train.py", "compare.py", "evaluate.py"])
def test_that_was_deleted(script: str, tmp_path: Path) -> None:
    command = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} {ROOT / script}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "The current folder cannot be used (No such file or directory): cd to one that exists.\n"


@since_311
@pytest.mark.parametrize("launcher", [(), ("launcher=joblib", "launcher.n_jobs=2")])
def test_a_sweep(launcher: tuple[str, ...], folder: Path, tiny: tuple[str, ...], run_train: RunTrain) -> None:
    done = run_train("-m", "seed=0,1", "trainer.max_epochs=one", *launcher, *tiny, cwd=folder, timeout=200)
    assert not (folder / "canary").exists(), done.stderr


@since_311
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_a_data_loader(method: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, "")
    keep_out_current_folder()
    code = "import multiprocessing as m\nif __name__ == '__main__':\n    m.get_context({!r}).Pool(1).map(len, ['x'])"
    script = folder.parent / "script.py"
    script.write_text(code.format(method))
    subprocess.run([sys.executable, str(script)], cwd=folder, check=True, timeout=60)
    assert not (folder / "canary").exists()


def test_a_process_of_the_same_training_finds_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "/mine", ""]))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    keep_out_current_folder()
    keep_out_current_folder()
    assert os.environ["PYTHONPATH"] == os.pathsep.join([str(ROOT), "/mine"])
    subprocess.run([sys.executable, str(ROOT / "evaluate.py"), "--help"], cwd=tmp_path, check=True, capture_output=True)
