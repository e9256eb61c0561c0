"""What Hydra's callback does in this process; whole sweeps are in tests/test_sweep.py."""

import signal
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, open_dict, read_write

from engine.config.resolvers import register_resolvers
from engine.run.outcome import write_outcome
from engine.sweep import ledger as module
from engine.sweep.ledger import Ledger
from engine.sweep.table import read_sweep
from engine.sweep.worker import Worker
from tests.conftest import ROOT


@pytest.fixture
def sweep_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`sweep_config(*overrides)` is the config that a multirun begins with."""
    monkeypatch.chdir(tmp_path)
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):

        def composed(*overrides: str) -> DictConfig:
            own = [f"hydra.sweep.dir={tmp_path}/sweep", "hydra.mode=MULTIRUN"]
            single = [text for text in overrides if "," not in text]
            config = compose("train", [*own, *single], return_hydra_config=True)
            with open_dict(config):
                config.hydra.overrides.task = list(overrides)
            return config

        yield composed
    module._open.close()
    HydraConfig.instance().cfg = None


@pytest.fixture
def job(tmp_path: Path) -> Any:
    """`job(sweep, number, *overrides)` is the config of one of its jobs, which Hydra has just begun."""

    def composed(sweep: DictConfig, number: int, *overrides: str) -> DictConfig:
        config = compose("train", [*sweep.hydra.overrides.hydra, *overrides], return_hydra_config=True)
        with open_dict(config):
            config.hydra.job.num = number
            HydraConfig.instance().set_config(config)
            directory = Path(config.hydra.sweep.dir, config.hydra.sweep.subdir)
            directory.mkdir(parents=True, exist_ok=True)
        with read_write(config.hydra):
            config.hydra.runtime.output_dir = str(directory)
        return config

    return composed


def test_jobs_are_listed_before_they_run(sweep_config: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Ledger().on_multirun_start(sweep_config("experiment=lenet_nll", "seed=0,1", "optimizer.lr=0.1,0.2"))
    sweep = read_sweep(tmp_path / "sweep")
    settings = [row.overrides for row in sweep.jobs.values()]
    assert settings == [{"seed": s, "optimizer.lr": lr} for s in (0, 1) for lr in (0.1, 0.2)]
    assert {row.status for row in sweep.jobs.values()} == {"missing"}
    assert sweep.jobs[3].command == "python train.py experiment=lenet_nll seed=1 optimizer.lr=0.2"
    assert capsys.readouterr().out == "4 jobs in sweep, each with its train.log:\n"


def test_a_preset_may_say_what_is_swept(sweep_config: Any, tmp_path: Path) -> None:
    Ledger().on_multirun_start(sweep_config("sweep=seeds", "sweep.n=3", "network=resnet18,efficientnet_lite0"))
    settings = [row.overrides for row in read_sweep(tmp_path / "sweep").jobs.values()]
    assert settings == [
        {"seed": seed, "network": network} for seed in range(3) for network in ("resnet18", "efficientnet_lite0")
    ]


def test_a_setting_replaces_the_presets(sweep_config: Any, tmp_path: Path) -> None:
    Ledger().on_multirun_start(sweep_config("sweep=seeds", "seed=7,8"))
    settings = [row.overrides for row in read_sweep(tmp_path / "sweep").jobs.values()]
    assert settings == [{"seed": 7}, {"seed": 8}]


def test_a_job_is_running_and_then_what_its_metrics_say(
    sweep_config: Any, job: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger()
    sweep = sweep_config("experiment=lenet_nll", "seed=0,1")
    ledger.on_multirun_start(sweep)
    config = job(sweep, 1, "experiment=lenet_nll", "seed=1")
    ledger.on_job_start(config)
    missing, row = read_sweep(tmp_path / "sweep").jobs.values()
    assert (missing.status, row.status, row.directory) == ("missing", "running", "001_seed-1")
    assert (row.metric, row.mode) == ("val/loss", "min")
    write_outcome(tmp_path / "sweep" / "001_seed-1", {"status": "completed", "best/val/loss": 0.5, "seconds": 2.0})
    ledger.on_job_end(config, JobReturn())
    _, row = read_sweep(tmp_path / "sweep").jobs.values()
    assert (row.status, row.best) == ("completed", 0.5)
    assert capsys.readouterr().out.endswith("1/2  001_seed-1  best val/loss 0.5  2.0 s\n")


def test_a_run_that_stands_alone_has_no_ledger(job: Any, sweep_config: Any, tmp_path: Path) -> None:
    config = job(sweep_config("seed=0,1"), 0, "hydra.mode=RUN", "seed=0")
    Ledger().on_job_start(config)
    Ledger().on_job_end(config, JobReturn())
    assert not (tmp_path / "sweep" / "sweep.json").exists()


def test_at_the_end_a_job_without_an_outcome_was_interrupted(sweep_config: Any, job: Any, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ledger, sweep = Ledger(), sweep_config("seed=0,1")
    ledger.on_multirun_start(sweep)
    assert signal.getsignal(signal.SIGTERM) != before
    ledger.on_job_start(job(sweep, 0, "seed=0"))
    with pytest.raises(SystemExit) as ended:
        ledger.on_multirun_end(sweep)
    assert ended.value.code == 1
    assert [row.status for row in read_sweep(tmp_path / "sweep").jobs.values()] == ["interrupted", "missing"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_all_done_ends_without_a_word(sweep_config: Any, job: Any, tmp_path: Path) -> None:
    ledger, sweep = Ledger(), sweep_config("seed=0,1")
    ledger.on_multirun_start(sweep)
    for number, status in enumerate(("completed", "pruned")):
        config = job(sweep, number, f"seed={number}")
        ledger.on_job_start(config)
        write_outcome(Path(config.hydra.runtime.output_dir), {"status": status, "best/val/acc": 0.5})
        ledger.on_job_end(config, JobReturn())
    ledger.on_multirun_end(sweep)
    assert {path.name for path in (tmp_path / "sweep").glob("*.*")} >= {"sweep.csv", "sweep.json", "sweep.html"}


def test_a_sweep_directory_has_one_sweep(sweep_config: Any, tmp_path: Path) -> None:
    sweep = sweep_config("seed=0,1")
    Ledger().on_multirun_start(sweep)
    with pytest.raises(SystemExit, match="is running, in another process"):
        Ledger().on_multirun_start(sweep_config("seed=0,1"))
    module._open.close()
    with pytest.raises(SystemExit, match=r"to continue it: python \S*train.py -m sweep.resume=sweep$"):
        Ledger().on_multirun_start(sweep_config("seed=0,1"))
    module._open.close()
    Ledger().on_multirun_start(sweep_config("seed=0,1,2", f"sweep.resume={tmp_path}/sweep"))
    assert len(read_sweep(tmp_path / "sweep").jobs) == 3
    module._open.close()
    with pytest.raises(SystemExit, match="Job 0 of sweep had other overrides"):
        Ledger().on_multirun_start(sweep_config("seed=7,8", f"sweep.resume={tmp_path}/sweep"))


def test_a_report_that_fails_is_a_failure(
    sweep_config: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that is full at the end, say: Hydra would make a warning of it, and the exit code 0."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    ledger, sweep = Ledger(), sweep_config("seed=0,1")
    ledger.on_multirun_start(sweep)
    monkeypatch.setattr(module, "write_page", full)
    with pytest.raises(SystemExit):
        ledger.on_multirun_end(sweep)
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the folder of another process is read in /proc")
def test_the_worker_of_an_earlier_sweep_follows_to_another_folder(sweep_config: Any, tmp_path: Path) -> None:
    """As in a notebook: relative paths are those of the process that has the jobs."""
    worker = Worker.current()
    assert Path(f"/proc/{worker.process.pid}/cwd").resolve() != tmp_path
    Ledger().on_multirun_start(sweep_config("experiment=lenet_nll", "seed=0,1"))
    assert worker is Worker.current()
    assert Path(f"/proc/{worker.process.pid}/cwd").resolve() == tmp_path


def test_a_page_that_cannot_be_drawn_is_none(
    sweep_config: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, sweep = Ledger(), sweep_config("seed=0,1")
    ledger.on_multirun_start(sweep)
    monkeypatch.setattr(module, "write_page", lambda _: 1 / 0)
    module.finish(Path(sweep.hydra.sweep.dir))
    assert capsys.readouterr().err == "sweep.html could not be written (ZeroDivisionError: division by zero).\n"
