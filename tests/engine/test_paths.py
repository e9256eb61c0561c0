import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from engine import paths as module
from engine.errors import UserError
from engine.paths import ROOT, command, new_run_directory, refuse_unwritable, tensorboard


def test_fifty_runs_at_once_get_fifty_directories(tmp_path: Path) -> None:
    with ThreadPoolExecutor(50) as pool:
        made = list(pool.map(new_run_directory, [str(tmp_path / "logs" / "name")] * 50))
    assert len(set(made)) == 50
    assert {str(path) for path in (tmp_path / "logs" / "name").iterdir()} == set(made)


def test_even_within_the_same_microsecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [datetime(2030, 1, 2, 3, 4, 5, 6)] * 5 + [datetime(2030, 1, 2, 3, 4, 5, 7)]

    class Clock:
        @staticmethod
        def now() -> datetime:
            return moments.pop(0)

    monkeypatch.setattr(module, "datetime", Clock)
    made = [Path(new_run_directory(str(tmp_path))).name for _ in range(3)]
    assert made == ["2030-01-02_03-04-05", "2030-01-02_03-04-05_000006", "2030-01-02_03-04-05_000007"]


def test_a_place_that_cannot_be_written_ends_the_process_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(SystemExit, match=r"logs/name cannot hold the run \(Not a directory\): .*hydra\.run\.dir=DIR"):
        new_run_directory(str(tmp_path / "logs" / "name"))


@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir"])
def test_a_given_place_that_cannot_be_written_is_refused(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("/nowhere/logs")
    for name in ("file", "file/run", "link", "link/run"):
        with pytest.raises(UserError, match=rf"{key}=.*{name}: .* is not a writable folder; fix"):
            refuse_unwritable(["seed=1", f"{key}={tmp_path}/{name}"])
    fine = ["seed=1", f"{key}={tmp_path}/a/b", f"{key}='{tmp_path}/a b'", f"{key}=${{new_run_directory:/file}}", "-m"]
    refuse_unwritable(fine)
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # a read-only disk, say, which stops root, too
    with pytest.raises(UserError, match=f"{key}={tmp_path}/a/b: {tmp_path} is not a writable folder"):
        refuse_unwritable(fine)


def test_named_by_date_and_time(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", Path(new_run_directory(str(tmp_path))).name)


@pytest.mark.parametrize("setting", [("WORLD_SIZE", "2"), ("SLURM_NTASKS", "4"), ("NODE_RANK", "0")])
def test_processes_that_must_share_a_directory_are_told_to_name_it(
    setting: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    new_run_directory(str(tmp_path))
    monkeypatch.setenv(*setting)
    with pytest.raises(SystemExit, match=r"hydra\.run\.dir=DIR"):
        new_run_directory(str(tmp_path))


def test_an_interactive_slurm_shell_is_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert Path(new_run_directory(str(tmp_path))).is_dir()


def test_no_run_changes_folder() -> None:
    with pytest.raises(UserError, match=r"hydra\.job\.chdir=true: runs do not change their working directory"):
        refuse_unwritable(["hydra.job.chdir=true"])
    refuse_unwritable(["hydra.job.chdir=false"])


def test_commands_work_where_they_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert command("train.py") == "python train.py"
    assert tensorboard(Path("logs/a run")) == "tensorboard --logdir 'logs/a run'"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # the environment is not active
    parts = shlex.split(command("evaluate.py"))
    assert Path(parts[0]).name == "python"
    assert subprocess.run([*parts, "--help"], stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("first try", "first-try_2"),
        ("../../etc", "etc_2"),
        ("蜜蜂", "蜜蜂_2"),
        ("x" * 300, "x" * 40 + "_2"),
        ("/", "2"),
    ],
)
def test_a_name_stands_before_the_time(name: str, begins: str, tmp_path: Path) -> None:
    made = Path(new_run_directory(str(tmp_path / "logs"), name))
    assert made.parent == tmp_path / "logs"
    assert made.name.startswith(begins)
