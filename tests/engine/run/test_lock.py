import multiprocessing
from pathlib import Path

import pytest
from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from engine.errors import UserError
from engine.run.lock import LOCK, one_writer


@one_writer
def train(cfg: DictConfig) -> int:
    return 1 + OmegaConf.to_container(cfg)["x"]  # type: ignore[call-overload,index]


def hold(file: Path, held: "multiprocessing.synchronize.Event") -> None:  # type: ignore[name-defined]
    with FileLock(file):
        held.set()
        held.wait(60)
        multiprocessing.Event().wait(60)


def test_of_two_processes_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = OmegaConf.create({"run_dir": str(tmp_path / "run"), "x": 1})
    assert train(cfg) == train(cfg) == 2
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=hold, args=(tmp_path / "run" / LOCK, held))
    other.start()
    assert held.wait(60)
    with pytest.raises(UserError, match="is in use by another process"):
        train(cfg)
    with monkeypatch.context() as patch:
        patch.setenv("LOCAL_RANK", "1")  # the second process of one training
        assert train(cfg) == 2
    other.kill()
    other.join()
    assert train(cfg) == 2
