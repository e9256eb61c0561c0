"""Each command that the documentation shows is tried: run, or if that takes long composed, with nothing left out."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from engine.config.command_line import rewrite_arguments
from tests.conftest import ROOT, Compose, Train, metrics_of, run_script
from tests.readme import arguments, commands

ALL = [("README.md", command) for command in commands("README.md")]
SCRIPTS = ("evaluate.py", "predict.py", "export.py", "report.py")


@pytest.fixture(scope="module")
def places(run_dir: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the placeholders stand for: a finished run, other data, photos; all in one folder, where one is."""
    here = tmp_path_factory.mktemp("here")
    shutil.copytree(run_dir, here / "run")
    shutil.copytree(data_dir / "hymenoptera_data" / "train", here / "my_photos")
    return {"RUN_DIR": here / "run", "OTHER_DATA": data_dir, "PHOTOS": here / "my_photos"}


def test_every_command_has_a_way_to_be_tried() -> None:
    assert len(ALL) > 15
    assert [command for _, command in ALL if kind(command) is None] == []


def kind(command: str) -> str | None:
    """Which of the tests below tries it."""
    ways = {
        "make": r"make [a-z-]+$",
        "activate": r"\. \.venv/bin/activate$",
        "help": r"python train\.py --help$",
        "completion": r"\. \./completion\.sh$",
        "resume": r"python train\.py resume=RUN_DIR ",
        "resume_sweep": r"python train\.py -m sweep\.resume=SWEEP_DIR$",
        "train": r"python train\.py ",
        "check": r"python check_data\.py data_dir=my_photos$",
        "script": rf"python ({'|'.join(SCRIPTS)}) run=RUN_DIR\b",
        "compare": r"python compare\.py RUN_DIR OTHER_RUN\b",
        "tensorboard": r"tensorboard --logdir \S+$",
    }
    return next((name for name, pattern in ways.items() if re.match(pattern, command)), None)


def of_kind(name: str) -> list[str]:
    return list(dict.fromkeys(command for _, command in ALL if kind(command) == name))


@pytest.mark.parametrize("command", of_kind("make"))
def test_make(command: str) -> None:
    done = subprocess.run([*arguments(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", of_kind("activate"))
def test_activate(command: str) -> None:
    """It is where `make` puts the environment."""
    folder = arguments(command)[1].removesuffix("/bin/activate")
    assert f"VENV ?= {folder}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("command", of_kind("help"))
def test_help(command: str, tmp_path: Path) -> None:
    done = run_script(*arguments(command)[1:], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", of_kind("completion"))
def test_tab_completion(command: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = f"{command} && complete -p python"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "_lightning_experiments" in done.stdout


@pytest.mark.parametrize("command", of_kind("train"))
def test_train_composes(
    command: str, compose: Compose, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sweep: each job, or where the choice is endless one of them."""
    monkeypatch.chdir(places["RUN_DIR"].parent)
    words = [word for word in arguments(command)[2:] if word not in ("-m", "--cfg", "job")]
    overrides = OverridesParser.create().parse_overrides(words)
    for job in itertools.product(*map(choices, overrides)):
        assert compose(*job, run_dir=places["RUN_DIR"]).network._target_


def choices(override: Override) -> list[str]:
    """What each job gets for an override; of an interval its start."""
    key, value = override.input_line.split("=", 1) if override.input_line else ("", "")
    if override.is_choice_sweep() and isinstance(sweep := override.value(), ChoiceSweep):
        return [f"{key}={choice}" for choice in sweep.list]
    if override.is_range_sweep() and isinstance(sweep := override.value(), RangeSweep):
        return [f"{key}={number}" for number in sweep.range()]
    if override.is_interval_sweep() and isinstance(sweep := override.value(), IntervalSweep):
        return [f"{key}={sweep.start}"]
    return [f"{key}={value}"]


@pytest.mark.parametrize("command", of_kind("resume"))
def test_resume(command: str, train_here: Train, places: dict[str, Path], run_dir: Path) -> None:
    words = arguments(command, **places)
    train_here(run_dir.parents[2], *words[2:])  # where its features are
    asked = [int(word.partition("=")[2]) for word in words if word.startswith("trainer.max_epochs=")]
    assert [metrics_of(places["RUN_DIR"])["epochs"]] == asked


@pytest.mark.parametrize("command", of_kind("resume_sweep"))
def test_resume_of_a_sweep(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken for a sweep; tests/test_sweep.py runs some."""
    monkeypatch.setattr(sys, "argv", arguments(command, SWEEP_DIR=tmp_path)[1:])
    with pytest.raises(SystemExit, match="give the directory of a sweep"):
        rewrite_arguments()


@pytest.mark.parametrize("command", of_kind("script"))
def test_what_works_on_a_run(command: str, places: dict[str, Path]) -> None:
    """Except for your own photos, which are in tests/test_own_photos.py."""
    words = arguments(command, **places)
    done = run_script(*words[1:], cwd=places["RUN_DIR"].parent)
    told = [line for line in done.stderr.splitlines() if not line.startswith("Ignored files that are not photos")]
    assert (done.returncode, told) == (0, [])


@pytest.mark.parametrize("command", of_kind("check"))
def test_check_data(command: str, places: dict[str, Path]) -> None:
    done = run_script(*arguments(command)[1:], cwd=places["PHOTOS"].parent)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", of_kind("compare"))
def test_compare(command: str, places: dict[str, Path], tiny: tuple[str, ...], train_here: Train) -> None:
    other = train_here(places["RUN_DIR"].parent, *tiny, "network.pretrained=false", "trainer.max_epochs=1", "seed=6")
    words = arguments(command, OTHER_RUN=other, **places)
    done = run_script(*words[1:], cwd=places["RUN_DIR"].parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "decided" in done.stdout or "is better than" in done.stdout


@pytest.mark.parametrize("command", of_kind("tensorboard"))
def test_tensorboard(command: str, run_dir: Path) -> None:
    """What it is given can be shown; tests/test_tensorboard_browser.py looks at it."""
    (_, option, folder) = arguments(command)
    words = [sys.executable, "-m", "tensorboard.main", option, str(run_dir), "--inspect"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert folder == "logs"
    assert "val/acc" in done.stdout


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_files_that_are_named_exist(file: str) -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+[\w.]*)`", (ROOT / file).read_text(encoding="utf-8")))
    named |= set(re.findall(r"\]\(([^)#:]+)\)", (ROOT / file).read_text(encoding="utf-8")))
    assert len(named) > 3
    others = {"checkpoints/best.ckpt", "train/", "val/", "split/name", "train/weight_norm", "conf/experiment/NAME.yaml"}
    assert [name for name in named - others if not (ROOT / name).exists()] == []


def test_every_experiment_is_in_the_table() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The experiments")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:cifar10|domain|lenet|multilabel|regression|transfer)_\w+)`", table)
    assert sorted(named) == sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


def test_extras_that_are_named_exist() -> None:
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    named = [name for group in re.findall(r"pip install -e '\.\[([\w,]+)\]'", text) for name in group.split(",")]
    assert set(named) >= {"onnx", "wandb", "mlflow"}
    assert set(named) <= extras


def test_what_is_installed_for_the_browser_is_what_is_said() -> None:
    (said,) = re.findall(r"`apt-get install ([\w ]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert said in (ROOT / ".ci" / "run").read_text()
