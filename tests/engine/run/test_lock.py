import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from engine.errors import UserError
from engine.run.lock import one_writer

HOLD = """
import os, sys, time
from omegaconf import OmegaConf
from engine.run.lock import one_writer
def train(cfg):
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    print("locked", flush=True)
    time.sleep(60)
one_writer(train)(OmegaConf.create({"run_dir": sys.argv[1]}))
"""


def test_a_second_writer_is_refused_until_the_first_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a process that the first one has forked lives on."""
    train, cfg = one_writer(lambda cfg: "trained"), DictConfig({"run_dir": str(tmp_path)})
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=root) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with pytest.raises(UserError, match="is in use by another process"):
            train(cfg)
        with monkeypatch.context() as patch:  # a further process of the same training
            patch.setenv("LOCAL_RANK", "1")
            assert train(cfg) == "trained"
        first.kill()
        first.wait()
        assert train(cfg) == "trained"
    assert train(cfg) == "trained"


def test_a_link_in_the_place_of_the_lock(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "target")
    with pytest.raises(UserError, match="is not a regular file"):
        one_writer(lambda cfg: None)(DictConfig({"run_dir": str(tmp_path / "run")}))
    assert not (tmp_path / "target").exists()
