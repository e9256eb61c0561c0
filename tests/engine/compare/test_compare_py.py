"""`python compare.py` as a user runs it, on two short runs."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Train, run_script

SHORT = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1", "callback=[default]")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, train_here: Train) -> Path:
    """A folder with two runs: logs/a/1 and logs/b/1, which differ in the seed and a learning rate."""
    folder = tmp_path_factory.mktemp("compared")
    train_here(folder, *SHORT, "seed=0", "optimizer=adam", "optimizer.lr=0.001").rename(folder / "a")
    train_here(folder, *SHORT, "seed=1", "optimizer.lr=0.002").rename(folder / "b")
    for name in "ab":
        (folder / "logs" / name).mkdir()
        (folder / name).rename(folder / "logs" / name / "1")
    return folder


def test_a_table_of_runs(here: Path) -> None:
    done = run_script("compare.py", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[:1] for line in done.stdout.splitlines() if " digits official " in line]
    assert sorted(rows) == [["a/1"], ["b/1"]]
    assert "lenet_nll" in done.stdout
    filtered = run_script("compare.py", "logs", "optimizer.lr=2e-3", "status=completed", cwd=here)
    assert "b/1" in filtered.stdout
    assert "a/1" not in filtered.stdout


def test_two_runs(here: Path) -> None:
    arguments = ["a", "logs/b/1/checkpoints/best.ckpt", "page=out/p.html", "contact_sheet=out/changed.png"]
    done = run_script("compare.py", *arguments, cwd=here)
    assert done.returncode == 0, done.stderr
    assert "optimizer.lr" in done.stdout
    assert "360" in done.stdout
    assert "The network of A is better than that of B on photos like these" in done.stdout
    page = (here / "out" / "p.html").read_text()
    assert "The network of A is better" in page
    assert "data:image/jpeg;base64," in page
    assert (here / "out" / "changed.png").stat().st_size > 1000


def test_one_network_under_two_names(here: Path) -> None:
    shutil.copytree(here / "logs" / "a" / "1", here / "copy")
    done = run_script("compare.py", "logs/a/1", "copy", cwd=here)
    shutil.rmtree(here / "copy")
    assert done.returncode == 1
    assert done.stderr.startswith("a/1 and copy are one network under two names: ")
    assert "same bits" in done.stderr
    again = run_script("compare.py", "last", "logs/b/1", "logs/b", cwd=here)
    assert again.returncode == 1
    assert "named twice" in again.stderr


def test_delete_asks_first(here: Path) -> None:
    shutil.copytree(here / "logs" / "a" / "1", here / "logs" / "c" / "1")
    arguments = ("logs/c", "delete=runs")
    done = run_script("compare.py", *arguments, cwd=here)
    assert done.returncode == 0, done.stderr
    assert "would remove logs/c/1" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("compare.py logs/c delete=runs yes=true")
    assert (here / "logs" / "c" / "1").is_dir()
    done = run_script("compare.py", *arguments, "yes=true", cwd=here)
    assert done.returncode == 0, done.stderr
    assert not (here / "logs" / "c" / "1").exists()
    assert (here / "logs" / "a" / "1").is_dir()
