"""What submitit leaves in a sweep's directory are pickles: those of a stranger are never read."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from engine.errors import UserError
from engine.sweep.launchers import SubmititLauncher
from tests.conftest import ROOT

RUN = """
import sys
from omegaconf import OmegaConf
from engine.sweep.launchers import SubmititLauncher
launcher = SubmititLauncher(cluster="local", n_jobs=2, parameters=OmegaConf.create({"timeout_min": 1}))
launcher.config = OmegaConf.create({"hydra": {"sweep": {"dir": sys.argv[1]}}})
print(sum(wait() for wait in launcher.start([lambda: 1, lambda: 2])))
"""


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.canary), "w")


def test_those_of_an_earlier_launch_are_left_alone(tmp_path: Path) -> None:
    """Results and jobs under numbers that the new processes get, in all places where the folder was before."""
    sweep, canary = tmp_path / "sweep", tmp_path / "canary"
    planted = pickle.dumps(("success", Evil(canary)))
    for folder in (sweep / ".submitit", sweep / ".submitit" / "0123456789abcdef", sweep):
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(os.getpid(), os.getpid() + 200):
            for kind in ("result", "submitted"):
                (folder / f"{number}_0_{kind}.pkl").write_bytes(planted)
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("*.pkl")}
    command = [sys.executable, "-c", RUN, str(sweep)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "3\n", done.stderr
    assert not canary.exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (new,) = {path.parent for path in sweep.rglob("*_result.pkl")} - {path.parent for path in before}
    assert new.stat().st_mode & 0o777 == 0o700, "nor can anyone else put one there while the jobs run"


def test_a_file_in_the_folders_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".submitit").write_text("x")
    launcher = SubmititLauncher(cluster="local", n_jobs=1, parameters=OmegaConf.create({}))
    launcher.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    with pytest.raises(UserError, match=r"\.submitit cannot be used \(.*\): remove it\.$"):
        launcher.start([])
