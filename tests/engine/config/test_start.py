"""What a user reads of a mistake, in a process of its own."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config.command_line import compose_resumed_run_from_its_config
from engine.config.start import clear_errors
from engine.errors import UserError
from tests.conftest import RunTrain, run_script


@pytest.fixture(scope="module")
def seconds() -> float:
    """The CPU time that a mistake may take on this machine: 1.5 times that of importing torch and Lightning."""
    before = children_time()
    subprocess.run([sys.executable, "-c", "import torch, torchvision, pytorch_lightning"], check=True)
    return 1.5 * (children_time() - before)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["optimizr.lr=1"], "optimizr.lr=1: there is no optimizr; did you mean optimizer?"),
        (["-m", "seed=0,1", "+a.b.c='${a.b}'"], "a.b: Interpolation to parent node detected"),
        (["trainer.max_epochs=ten", "optimizer.lr=-1"], "  trainer.max_epochs=ten: must be a whole number"),
        (["-m", "seed=0,1", "network=resnet81"], "network=resnet81: there is no resnet81 in network; did you mean"),
    ],
)
def test_mistakes_are_told_soon_and_shortly(
    overrides: list[str], says: str, run_train: RunTrain, tmp_path: Path, seconds: float
) -> None:
    before = children_time()
    done = run_train(*overrides, cwd=tmp_path, cold=True)
    assert children_time() - before < seconds
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).splitlines()
    assert any(line.startswith(says) for line in lines)
    assert len(lines) <= 25
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["predict.py", "inptu=x"], "inptu=x: predict.py has no setting inptu; did you mean input?"),
        (["export.py", "run=x", "formt=onnx"], "formt=onnx: export.py has no setting formt; did you mean format?"),
        (["evaluate.py", "run=x", "split"], "split is not key=value; "),
    ],
)
def test_other_entry_points_tell_them_too(command: list[str], says: str, tmp_path: Path) -> None:
    done = run_script(*command, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert says in line


def children_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("mistake", ["optimizr.lr=1", "optimizer.lr=-1"])
def test_debug_trace_shows_where_it_comes_from(mistake: str, run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train("debug=trace", mistake, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert mistake.split("=")[0] in done.stderr.splitlines()[-1] + done.stderr.splitlines()[-2]


def test_so_it_does_for_a_resumed_run(tmp_path: Path) -> None:
    """Whose config has no groups, so that a choice is added to it."""
    (tmp_path / "config.yaml").write_text("seed: 1")
    assert "+debug=trace" in compose_resumed_run_from_its_config([f"resume={tmp_path}", "debug=trace"])


def test_a_users_mistake_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit, match=r"^no$"), clear_errors("train"):
        raise UserError("no")
    monkeypatch.setattr("sys.argv", ["train.py", "debug=trace"])
    with pytest.raises(UserError, match=r"^no$"), clear_errors("train"):
        raise UserError("no")


def test_the_programs_own_errors_keep_their_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the job on: what Hydra does around it is left out."""
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run_job() -> None:
        job()

    def job() -> None:
        raise KeyError("own")

    with pytest.raises(SystemExit) as caught, clear_errors("train"):
        run_job()
    assert caught.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyError: 'own'"
    assert [line.rpartition("in ")[2] for line in lines if line.startswith("  File")] == ["job"]
