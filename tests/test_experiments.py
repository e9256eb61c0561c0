"""Every experiment composes and runs, and every YAML points where its group says; a new file is found by itself."""

import re
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from engine.config.help import question
from tests.conftest import ROOT, Compose, Train

CONF = ROOT / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
OTHERS = ("torch", "torchmetrics", "torchvision", "pytorch_lightning", "hydra", "builtins", "functools", "optuna")
TRIPLES = {
    "network": "networks",
    "loss": "losses",
    "datamodule": "datamodules",
    "lightning_module": "lightning_modules",
}
ROOMS = {**TRIPLES, "callback": "callbacks engine", "features": "engine", "scheduler": "functional"}
ROOMS |= {"logger": "engine", "launcher": "hydra_plugins", "sweep": "hydra_plugins", "hydra": "hydra_plugins"}
ROOMS |= {"train.yaml": "engine hydra_plugins"}  # a sweep's ledger, and what makes its jobs


def targets(node: object) -> list[str]:
    """Every `_target_` in a YAML document."""
    if isinstance(node, dict):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [target for value in node.values() for target in targets(value)]
    return [target for value in node for target in targets(value)] if isinstance(node, list) else []


def project_targets() -> list[tuple[str, str]]:
    files = sorted(CONF.rglob("*.yaml"))
    found = [(str(file.relative_to(CONF)), t) for file in files for t in targets(yaml.safe_load(file.read_text()))]
    return [(file, target) for file, target in found if target.split(".")[0] not in OTHERS]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder to run in, so that experiments share stand-in data and features."""
    return tmp_path_factory.mktemp("experiments")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_runs_one_batch_of_everything(
    name: str, shared: Path, data_dir: Path, train_here: Train, compose: Compose
) -> None:
    cfg = compose(f"experiment={name}", run_dir=shared)
    overrides = [f"experiment={name}", "debug=fast", "trainer.accelerator=cpu", "trainer.devices=1"]
    overrides += ["network.pretrained=false"] if "pretrained" in cfg.network else []
    overrides += ["datamodule.stand_in=true"] if "stand_in" in cfg.datamodule else []
    small = {
        "data_dir": data_dir,
        "num_workers": 0,
        "image_size": 64,
        "batch_size": 8,
        "eval_batch_size": 8,
        "chunk": 2,
    }
    overrides += [f"datamodule.{key}={value}" for key, value in small.items() if key in cfg.datamodule]

    directory = train_here(shared, *overrides)

    assert directory.parent.name == name
    assert (directory / "checkpoints" / "last.ckpt").is_file()
    assert OmegaConf.load(directory / "metrics.json").status == "completed"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_header_has_question_command_and_result(name: str) -> None:
    file = CONF / "experiment" / f"{name}.yaml"
    header = file.read_text()
    assert header.startswith("# @package _global_\n# Question: ")
    assert question(file).endswith("?")
    assert re.search(rf"^# Command: +python \w+\.py .*experiment={name}\b", header, re.MULTILINE)
    assert re.search(r"^# Result: +\S", header, re.MULTILINE)


def test_question_of_a_file_without_one(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("seed: 1\n")
    assert question(tmp_path / "x.yaml") == ""


@pytest.mark.parametrize(("file", "target"), project_targets())
def test_target_lives_in_the_room_named_as_its_group(file: str, target: str) -> None:
    group = Path(file).parts[0]
    assert target.split(".")[0] in ROOMS[group].split()
    assert (ROOT / Path(*target.split(".")[:-1]).with_suffix(".py")).is_file()


@pytest.mark.parametrize(
    ("file", "target"), [(file, target) for file, target in project_targets() if Path(file).parts[0] in TRIPLES]
)
def test_every_target_has_its_test_file(file: str, target: str) -> None:
    room, module = target.split(".")[:2]
    assert (ROOT / "tests" / room / f"test_{module}.py").is_file()


def test_callbacks_have_test_files() -> None:
    modules = {path.stem for path in (ROOT / "callbacks").glob("*.py")} - {"__init__"}
    assert not {m for m in modules if not (ROOT / "tests" / "callbacks" / f"test_{m}.py").is_file()}
