"""CONTRIBUTING.md's recipes, followed in a copy of the checkout: new files, no edits, and its own commands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, metrics_of
from tests.readme import arguments, commands

COPIED = ("*.py", "conf", "callbacks", "datamodules", "engine", "functional", "hydra_plugins", "lightning_modules")
COPIED += ("losses", "networks")
RECIPES = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("checkout")
    for path in (path for pattern in COPIED for path in ROOT.glob(pattern)):
        if path.is_dir():
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, copy)
    for name, content in RECIPES:
        assert not (copy / name).exists()
        (copy / name).write_text(content)
    return copy


def test_there_are_recipes() -> None:
    kinds = {Path(name).parts[-2] for name, _ in RECIPES}
    assert {"networks", "network", "lightning_modules", "callbacks", "experiment"} <= kinds


@pytest.mark.parametrize("command", [c for c in commands("CONTRIBUTING.md") if c.startswith("python train.py")])
def test_its_commands_run(command: str, checkout: Path) -> None:
    words = [sys.executable, *arguments(command)[1:]]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if command == "python train.py experiment=noisy_digits trainer=cpu":
        (run,) = checkout.glob("logs/noisy_digits/*")
        assert metrics_of(run)["val/acc"] > 0.1
        assert "weight_norm" in (run / "config.yaml").read_text()
