"""Sweeps whose jobs have mistakes, refused before anything is written."""

import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from engine.config.sweep_job import representatives
from engine.sweep.check import _runs_elsewhere
from engine.wording import EXTRAS, missing_extra
from tests.conftest import Compose, RunTrain


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["-m", "optimizer.lr=0.1,abc"], "optimizer.lr=abc: must be a number"),
        (["-m", "trainer.max_epochs=1,2,0,3"], "trainer.max_epochs=0: trains nothing: max_epochs must be at least 1"),
        (["-m", "seed=0,1", "optimizer.lrr=1"], "there is no lrr in optimizer; did you mean lr?"),
        (["sweep=seeds", "sweep.n=0"], "The sweep has no jobs: list values to sweep over, or give sweep.n=1 or more."),
        (["-m", "optimizer.lr=interval(0.1,1)"], "an interval is searched by sweep=optuna"),
        (["sweep=optuna", "datamodule.batch_size=interval(0.5,3)"], "datamodule.batch_size=0.5: must be a whole"),
        (["sweep=optuna", "sweep.study=sqlite:///x.db"], "sweep.study=sqlite:///x.db: give a file"),
        (["sweep=optuna", "sweep.sampler._target_=optuna.samplers.RandomSampler"], "~sweep.sampler.NAME leaves a"),
    ],
)
def test_nothing_has_been_written(overrides: list[str], says: str, run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train("experiment=lenet_nll", "trainer=cpu", *overrides, cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("launcher", "elsewhere"),
    [
        ("local", False),
        ("joblib", False),
        ("submitit_local", False),
        ("ray", False),
        ("ray hydra.launcher.address=auto", True),
        ("submitit_slurm", True),
    ],
)
def test_where_jobs_run(launcher: str, elsewhere: bool, compose: Compose, tmp_path: Path) -> None:
    compose(*f"launcher={launcher}".split(), run_dir=tmp_path)
    assert _runs_elsewhere(HydraConfig.get().launcher) == elsewhere


def test_representatives() -> None:
    batch = [[f"seed={seed}", f"lr={lr}", f"network={name}"] for seed in range(9) for lr in (3, 1, 2) for name in "ab"]
    chosen = representatives(batch)
    assert chosen[:2] == [["seed=0", "lr=3", "network=a"], ["seed=0", "lr=3", "network=b"]]
    assert {text for job in chosen for text in job} == {"seed=0", "seed=8", "lr=1", "lr=3", "network=a", "network=b"}
    assert len(chosen) == 4
    assert representatives([["x=a", "y=b"]]) == [["x=a", "y=b"]]
    assert representatives([]) == []


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_extra(f"any.{name}") is None
    package, extra = EXTRAS[name]
    monkeypatch.setitem(sys.modules, package, None)
    assert missing_extra(f"any.{name}") == f"needs {package}: pip install -e '.[{extra}]'"
    assert missing_extra("torch.optim.SGD") is None
