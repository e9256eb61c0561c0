"""What several rooms' tests need: tiny photos, a machine without a network, and train.py here or in its own process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from omegaconf import DictConfig

from datamodules.stand_ins.insects import draw_insect
from tests import forked

if TYPE_CHECKING:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parent.parent

# As if the environment were active: printed commands then say `python`.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

# Weights do not matter to most runs, and 64 pixels are enough for any network.
TINY = (
    "trainer=cpu",
    "trainer.log_every_n_steps=1",
    "datamodule.image_size=64",
    "datamodule.num_workers=0",
    "datamodule.batch_size=4",
)

COUNTS = {("train", "ants"): 8, ("train", "bees"): 8, ("val", "ants"): 6, ("val", "bees"): 6}

Train = Callable[..., Path]
RunTrain = Callable[..., "subprocess.CompletedProcess[str]"]
Compose = Callable[..., DictConfig]


def metrics_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "metrics.json").read_text())
    return content


def only_run(folder: Path) -> Path:
    """The directory of the one run that was made in `folder`."""
    (directory,) = folder.glob("logs/*/*")
    return directory


@pytest.fixture(scope="session", autouse=True)
def _no_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every address but this machine's own is refused at once, and no cache holds weights."""
    empty = tmp_path_factory.mktemp("home")
    closed = "http://127.0.0.1:9"
    settings = {
        "http_proxy": closed,
        "https_proxy": closed,
        "HTTP_PROXY": closed,
        "HTTPS_PROXY": closed,
        "no_proxy": "127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
        "TORCH_HOME": str(empty / "torch"),
        "HF_HOME": str(empty / "huggingface"),
        "OMP_NUM_THREADS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        forked.ENVIRONMENT.update(os.environ)
        yield


@pytest.fixture(autouse=True)
def _python_path_of_its_own() -> Iterator[None]:
    """What an entry point that a test calls sets for the processes it starts is no other test's."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with hymenoptera_data in its official layout, the stray GIF included, but 16 + 12 drawn photos."""
    root = tmp_path_factory.mktemp("data")
    for key, ((split, insect), count) in enumerate(COUNTS.items()):
        folder = root / "hymenoptera_data" / split / insect
        folder.mkdir(parents=True)
        for index in range(count):
            draw_insect(insect, np.random.default_rng((key, index))).save(folder / f"{index:04d}.jpg")
    (root / "hymenoptera_data" / "train" / "ants" / "imageNotFound.gif").write_bytes(b"GIF89a")
    return root


@pytest.fixture(scope="session")
def tiny(data_dir: Path) -> tuple[str, ...]:
    """Overrides for a run on `data_dir` that takes about a second."""
    return (*TINY, f"datamodule.data_dir={data_dir}")


@pytest.fixture(scope="session")
def train_here() -> Train:
    """`train_here(folder, *overrides)` runs `python train.py ...` here, in `folder`, and gives the run directory.

    Exceptions come as they are raised: Hydra's own way would be to print them and to exit.
    """
    from engine.config.command_line import rewrite_arguments
    from engine.config.resolvers import register_resolvers
    from train import main

    # Without one, Hydra looks for conf/ beside the script, which is another here.
    conf = ("--config-path", str(ROOT / "conf"))

    def run(folder: Path, *overrides: str, config: tuple[str, ...] = conf) -> Path:
        before = set(folder.glob("logs/*/*"))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("HYDRA_FULL_ERROR", "1")
            patch.setattr(sys, "argv", ["train.py", *overrides, "hydra/job_logging=none", "hydra/hydra_logging=none"])
            rewrite_arguments()
            if "--config-path" not in sys.argv:
                sys.argv += config
            register_resolvers()
            try:
                main()
            except SystemExit as exit:
                raise exit.__cause__ or exit from None
        resumed = [Path(o.removeprefix("resume=")) for o in overrides if o.startswith("resume=")]
        (directory,) = resumed or set(folder.glob("logs/*/*")) - before
        return folder / directory

    return run


@pytest.fixture(scope="session")
def run_train() -> RunTrain:
    """`run_train(*overrides, cwd=...)` runs `python train.py ...` as a user does, with its output as text."""

    def run(*overrides: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        return run_script("train.py", *overrides, **settings)

    return run


def run_script(
    script: str, *arguments: str, cwd: Path, options: tuple[str, ...] = (), cold: bool = False, timeout: float = 120
) -> "subprocess.CompletedProcess[str]":
    """Runs `python <script> ...`, an entry point of the project, with its output as text; `options` are Python's.

    With options, or with `cold`, Python itself is started, as by a user; otherwise the process is forked from one that
    has imported torch (tests/forked.py), which takes a tenth of the time.
    """
    environment = {"COLUMNS": "160"}
    if not (options or cold):
        return forked.run(script, *arguments, cwd=cwd, environment=environment, timeout=timeout)
    command = [sys.executable, *options, str(ROOT / script), *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...], train_here: Train) -> Path:
    """The directory of a run of three epochs on features, of four steps each, with every callback that a run has."""
    folder = tmp_path_factory.mktemp("run")
    return train_here(folder, *tiny, "network.pretrained=false", "trainer.max_epochs=3", "seed=5", "optimizer.lr=0.01")


@pytest.fixture(scope="session")
def events(run_dir: Path) -> "EventAccumulator":
    """What TensorBoard reads of it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run_dir)).Reload()


@pytest.fixture
def compose() -> Iterator[Compose]:
    """`compose(*overrides, run_dir=...)` gives the config that `train` gets, in this process."""
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig

    from engine.config.resolvers import register_resolvers

    def composed(*overrides: str, run_dir: Path) -> DictConfig:
        register_resolvers()
        settings = [*overrides, f"hydra.run.dir={run_dir}", f"hydra.runtime.output_dir={run_dir}"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            HydraConfig.instance().set_config(compose("train", overrides=settings, return_hydra_config=True))
            return compose("train", overrides=list(overrides))

    yield composed
    HydraConfig.instance().cfg = None
