"""Run and sweep directories of strangers, given to the entry points as a user gives them."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from engine.config.command_line import rewrite_arguments
from tests.conftest import run_script

EVIL = "{_target_: pathlib.Path.touch, _args_: [{_target_: pathlib.Path, _args_: [CANARY]}]}"
"""Makes a file as soon as it is instantiated."""


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def stolen(run_dir: Path, tmp_path: Path) -> Path:
    """A run's directory, of which everything may be changed."""
    return Path(shutil.copytree(run_dir, tmp_path / "run"))


def append(stolen: Path, text: str, canary: Path) -> None:
    with (stolen / "config.yaml").open("a") as file:
        file.write(text.replace("CANARY", str(canary)) + "\n")


@pytest.mark.parametrize(
    "command",
    [
        ["train.py", "resume=RUN"],
        ["evaluate.py", "run=RUN"],
        ["predict.py", "run=RUN", "input=x"],
        ["export.py", "run=RUN"],
        ["report.py", "run=RUN"],
    ],
)
def test_entry_points_refuse_a_config(command: list[str], stolen: Path, canary: Path) -> None:
    append(stolen, f"hydra: {{callbacks: {{evil: {EVIL}}}}}", canary)
    append(stolen, f"profiler: {EVIL}", canary)
    done = run_script(command[0], *(word.replace("RUN", str(stolen)) for word in command[1:]), cwd=canary.parent)
    assert done.returncode == 1
    assert f"{stolen}/config.yaml: hydra.callbacks.evil._target_=pathlib.Path.touch is not allowed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not canary.exists()


@pytest.mark.parametrize("option", ["resume", "--config-path"])
def test_nothing_else_in_the_directory_is_composed(option: str, stolen: Path, canary: Path) -> None:
    """Hydra would take a group's choice from there, too."""
    (stolen / "debug").mkdir()
    text = "# @package _global_\nhydra: {callbacks: {evil: EVIL}}".replace("EVIL", EVIL).replace("CANARY", str(canary))
    (stolen / "debug" / "trace.yaml").write_text(text)
    with initialize_config_dir(str(stolen), version_base="1.3"):
        assert "evil" in compose("config", ["+debug=trace"], return_hydra_config=True).hydra.callbacks
    given = [f"resume={stolen}"] if option == "resume" else [option, str(stolen), "--config-name", "config"]
    done = run_script("train.py", *given, "+debug=trace", "trainer.max_epochs=ten", cwd=canary.parent)
    assert done.returncode == 1
    assert "trainer.max_epochs=ten: must be a whole number" in done.stderr  # it came as far as that
    assert not canary.exists()


def refused(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        rewrite_arguments()
    assert isinstance(caught.value.code, str)
    return caught.value.code


def test_a_package_header_moves_nothing(stolen: Path, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under Hydra's own node the keys would be Hydra's."""
    (stolen / "config.yaml").write_text(f"# @package hydra\ncallbacks: {{evil: {EVIL}}}".replace("CANARY", str(canary)))
    assert "callbacks.evil._target_=pathlib.Path.touch is not allowed" in refused(monkeypatch, f"resume={stolen}")
    (stolen / "config.yaml").write_text("# @package hydra\nverbose: true")
    monkeypatch.setattr(sys, "argv", ["train.py", f"resume={stolen}"])
    rewrite_arguments()
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        config = compose("resumed_run", return_hydra_config=True)
    assert config.verbose is True
    assert config.hydra.verbose is False


@pytest.mark.parametrize("options", [["--config-path", "RUN"], ["-cp=RUN", "-cn", "other"]])
def test_other_configs_of_a_strangers(options: list[str], stolen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(monkeypatch, *(option.replace("RUN", str(stolen)) for option in options))
    assert message.startswith("--config-path is for a run's --config-name config")


@pytest.mark.parametrize("options", [["--config-path", "RUN", "--config-name", "config"], ["-cp=RUN", "-cn=config"]])
def test_a_repeated_runs_config_is_checked(
    options: list[str], stolen: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [option.replace("RUN", str(stolen)) for option in options]
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=3", *options, "name=x"])
    rewrite_arguments()
    assert sys.argv == ["train.py", "--config-name", "resumed_run", "seed=3", "name=x"]
    append(stolen, f"evil: {EVIL}", canary)
    assert "evil._target_=pathlib.Path.touch is not allowed" in refused(monkeypatch, *options)


def test_no_pickled_config(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "reads a pickle" in refused(monkeypatch, "--experimental-rerun", "config.pickle")


def test_a_strangers_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for hostile in ("+hydra.callbacks.x._target_=os.system", "experiment=../../evil", "hydra.searchpath=[file://x]"):
        sweep = {"arguments": ["-m", "seed=0,1", hostile], "cwd": str(tmp_path)}
        (tmp_path / "sweep.json").write_text(json.dumps(sweep))
        assert f"{tmp_path}/sweep.json: {hostile} could name code" in refused(
            monkeypatch, "-m", f"sweep.resume={tmp_path}"
        )
