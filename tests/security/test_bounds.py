"""Numbers in a stranger's files that would have a run start, count or hold more than a machine can.

A failure shows by a test that takes longer than its few seconds, or by no refusal.
"""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.checkpoints.content import require_shape
from engine.errors import UserError
from engine.preflight.preflight import find_mistakes
from engine.run.allowlist import read_run_config
from engine.sweep import check
from tests.conftest import Compose


@pytest.fixture(autouse=True)
def few_seconds() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < 20


@pytest.mark.parametrize("number", [-1, -(10**9), 1 << 60])
@pytest.mark.parametrize(
    "path", ["epoch_progress.total.ready", "epoch_progress.current.completed", "epoch_loop.batch_progress.total.ready"]
)
def test_counters_of_loops(path: str, number: int, run_dir: Path) -> None:
    file = run_dir / "checkpoints" / "last.ckpt"
    content = load_checkpoint(file)
    require_shape(content, file, to_resume=True)
    node: Any = content["loops"]["fit_loop"]
    for part in ("epoch_loop.batch_progress",) if "batch" in path else ("epoch_progress",):
        node = node[part]
    *parents, last = path.split(".")[-2:]
    node[parents[0]][last] = number
    with pytest.raises(UserError, match="refused: loops"):
        require_shape(content, file, to_resume=True)


@pytest.mark.parametrize("given", ["trainer.devices=1000", "datamodule.num_workers=100000"])
def test_processes(given: str, compose: Compose, tmp_path: Path) -> None:
    lines = find_mistakes(compose("experiment=transfer_finetune", "trainer=cpu", given, run_dir=tmp_path)).lines
    assert "each is a process, and this machine has" in lines[given.partition("=")[0]]


def test_many_unknown_keys(compose: Compose, tmp_path: Path) -> None:
    cfg = compose("experiment=lenet_nll", "trainer=cpu", run_dir=tmp_path)
    cfg = DictConfig({**{f"key{number}": 1 for number in range(9_000)}, **cfg})
    assert "mistakes" in find_mistakes(cfg).message()


def test_links_that_grow(tmp_path: Path) -> None:
    letters = "abcdef"
    lines = [f"{one}: '{f'${{{other}}}' * 1000}'" for one, other in pairwise(letters)]
    (tmp_path / "config.yaml").write_text("\n".join([*lines, "f: x"]))
    with pytest.raises(UserError, match="becomes longer, by its links"):
        read_run_config(tmp_path, "resume=x")


def test_jobs_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = OverridesParser.create().parse_overrides(["seed=range(0,1000000000)", "optimizer.lr=1,2"])
    monkeypatch.setattr(check, "_overrides", lambda config: given)
    with pytest.raises(UserError, match="more than 100,000 jobs"):
        check.planned_jobs(OmegaConf.create({}))
