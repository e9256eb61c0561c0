"""Links, pipes and sockets in a stranger's run or sweep directory: rejected before anything in it is read or written.

Each attack would show by a canary file that is changed, or by a command that never ends.
"""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.trust.gate import ALLOW_LINKS, require_plain
from tests.conftest import run_script

COMMANDS = [
    ["train.py", "resume=RUN", "trainer.max_epochs=9"],
    ["train.py", "--config-path", "RUN", "--config-name", "config"],
    ["evaluate.py", "run=RUN"],
    ["predict.py", "run=RUN", "input=."],
    ["export.py", "run=RUN", "format=state_dict"],
    ["report.py", "run=RUN"],
]
PLACES = [
    *("config.yaml", "metrics.json", "metrics.csv", "events.out.tfevents.9.x", "evaluation_val_best.json"),
    *(".predictions.csv.partial", "network.state_dict.partial.pt", "checkpoints/last.ckpt", "checkpoints/.x.ckpt.1"),
    *("projector", ".hydra", "wandb", "a/b/c"),
]


@pytest.fixture
def stolen(run_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_dir, tmp_path / "run"))


def link(path: Path, canary: Path) -> None:
    path.symlink_to(canary)


def dangling_link(path: Path, canary: Path) -> None:
    path.symlink_to(canary.with_name("not there"))


def link_to_folder(path: Path, canary: Path) -> None:
    path.symlink_to(canary.parent, target_is_directory=True)


def pipe(path: Path, canary: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path, canary: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("name", ["train.log", "metrics.csv", "events.out.tfevents.9.x", ".hydra/x.yaml"])
def test_hard_links(name: str, stolen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "canary").write_text("mine")
    (stolen / name).parent.mkdir(exist_ok=True)
    (stolen / name).unlink(missing_ok=True)
    os.link(tmp_path / "canary", stolen / name)
    done = run_script("train.py", f"resume={stolen}", "trainer.max_epochs=9", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{name} is a hard link, which no run directory contains: remove it, or set {ALLOW_LINKS}=1" in done.stderr
    assert (tmp_path / "canary").read_text() == "mine"
    monkeypatch.setenv(ALLOW_LINKS, "1")
    require_plain(stolen, "run=x")


def test_checkpoints_may_have_two_names(stolen: Path) -> None:
    """As best.ckpt has, if another file name was chosen; they are replaced, and never written into."""
    os.link(stolen / "checkpoints" / "best.ckpt", stolen / "checkpoints" / "epoch_003.ckpt")
    require_plain(stolen, "run=x")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("make", [link, dangling_link, link_to_folder, pipe, unix_socket])
def test_rejected_wherever_it_is(make: Callable[[Path, Path], None], place: str, stolen: Path) -> None:
    path = stolen / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    make(path, stolen.parent / "canary")
    with pytest.raises(UserError, match=f"resume=R: .*{path.name} is a (link|pipe|socket), which no run directory"):
        require_plain(stolen, "resume=R")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_entry_point_asks_first(command: list[str], stolen: Path) -> None:
    canary = stolen.parent / "canary"
    canary.write_text("mine")
    link(stolen / "metrics.csv", canary)
    os.mkfifo(stolen / "checkpoints" / "zz")
    words = [word.replace("RUN", str(stolen)) for word in command]
    done = run_script(*words, cwd=stolen.parent, timeout=60)
    assert done.returncode == 1
    assert "which no run directory contains" in done.stderr
    assert "Traceback" not in done.stderr
    assert canary.read_text() == "mine"


def test_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    link(tmp_path / "sweep.html", tmp_path.parent / "canary")
    done = run_script("train.py", "-m", f"sweep.resume={tmp_path}", cwd=tmp_path.parent)
    assert done.returncode == 1
    assert "sweep.html is a link, which no run directory contains" in done.stderr


def test_links_that_the_user_allows(stolen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link(stolen / "data", stolen.parent)
    monkeypatch.setenv(ALLOW_LINKS, "1")
    require_plain(stolen, "resume=R")
    os.mkfifo(stolen / "pipe")
    with pytest.raises(UserError, match="pipe is a pipe"):
        require_plain(stolen, "resume=R")


def test_what_a_run_writes_is_plain(run_dir: Path) -> None:
    require_plain(run_dir, "resume=R")


def test_wandb_makes_links_in_its_own_folder(stolen: Path) -> None:
    (stolen / "wandb" / "run-1").mkdir(parents=True)
    (stolen / "wandb" / "latest-run").symlink_to("run-1")
    require_plain(stolen, "resume=R")
