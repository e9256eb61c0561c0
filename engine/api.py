"""Python API, also for notebooks: `load_run("last").predict(photo)`, `train(["experiment=lenet_nll"])`."""

import importlib.util
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from engine.config.command_line import compose_resumed_run_from_its_config
from engine.config.composition import explained
from engine.config.resolvers import register_resolvers
from engine.errors import UserError
from engine.paths import CONF, ROOT
from engine.photos.images import image_tensor, read_image
from engine.photos.unlabelled_photos import find_photos
from engine.process.startup import silence_idle_messages
from engine.results.prediction import MAX_PIXELS, Predictor
from engine.results.preprocessing import photo_transform
from engine.run.failure import for_the_user
from engine.run.find import find_run
from engine.run.outcome import outcome
from engine.run.trained import load_trained

BATCH = 32  # photos per forward pass


class Prediction(NamedTuple):
    """A photo's class (multi-label networks: classes joined by +) and the probability of each class in [0, 1]."""

    label: str
    probabilities: dict[str, float]


class Run:
    """A trained run with its `directory`, its `config`, and its `metrics` from metrics.json."""

    def __init__(self, directory: Path, checkpoint: str) -> None:
        self.directory = directory.absolute()  # a notebook may change its working directory
        self._trained = load_trained(self.directory, checkpoint)
        self.config: DictConfig = self._trained.config
        self.classes: list[str] = self._trained.data["classes"]
        self.metrics: dict[str, Any] = outcome(self.directory)

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    @cached_property
    def network(self) -> nn.Module:
        """The network in eval mode, on the CPU."""
        return self._trained.load_network()

    def datamodule(self) -> Any:
        """The run's datamodule, set up for training and validation. UserError if it has none."""
        if not self.config.datamodule:
            raise UserError(f"{self.directory}: the run has no datamodule, since its LightningModule has its own data.")
        datamodule = instantiate(self.config.datamodule)
        datamodule.prepare_data()
        datamodule.setup("fit")
        return datamodule

    def predict(self, photos: Any) -> Any:
        """Classifies one photo (returns a Prediction) or several (returns a list).

        A photo is a path, a PIL image, an array (H, W, 3) or (H, W) uint8, or a tensor (3, H, W), uint8 or floats in
        [0, 1]. Several photos are a folder, a glob or a list. Raises UserError for other or unreadable input.
        """
        if isinstance(photos, str | Path) and not Path(photos).is_file():
            photos = find_photos(str(photos)).photos
        several = isinstance(photos, list | tuple)
        with for_the_user():
            seen = [self._transform(self._pixels(photo)) for photo in (photos if several else [photos])]
            batches = [seen[start : start + BATCH] for start in range(0, len(seen), BATCH)]
            rows = [row for batch in batches for row in self._predictor(torch.stack(batch))]
        found = [
            Prediction(self._predictor.label(row), dict(zip(self.classes, row.tolist(), strict=True))) for row in rows
        ]
        return found if several else found[0]

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self._trained)

    @cached_property
    def _transform(self) -> Any:
        return photo_transform(self._trained)

    def _pixels(self, photo: Any) -> Tensor:
        """The photo as a tensor (3, H, W) uint8."""
        if isinstance(photo, str | Path):
            return read_image(Path(photo), self.config.datamodule.get("max_pixels", MAX_PIXELS))
        if isinstance(photo, np.ndarray) and photo.dtype == np.uint8 and photo.ndim in (2, 3):
            photo = Image.fromarray(photo)
        if isinstance(photo, Image.Image):
            return image_tensor(photo)
        if isinstance(photo, Tensor) and photo.ndim == 3 and len(photo) in (1, 3):
            if photo.is_floating_point() and photo.min() >= 0 and photo.max() <= 1:
                photo = (photo * 255).round().byte()
            if photo.dtype == torch.uint8:
                return photo.expand(3, -1, -1).cpu()
        given = f"{type(photo).__name__} {getattr(photo, 'dtype', '')} {tuple(getattr(photo, 'shape', ()))}".strip()
        raise UserError(
            f"predict takes a path, a PIL image, an array (H, W, 3) uint8, a tensor (3, H, W) uint8 or in [0, 1], or a "
            f"list of them, not {given}."
        )


def load_run(run: str | Path, checkpoint: str | None = None) -> Run:
    """Loads a run, given by a path, a unique prefix of one, or "last", at its best or the given checkpoint."""
    directory, named = find_run(run)
    return Run(directory, checkpoint or named or "best")


def train(overrides: Sequence[str] = ()) -> Run:
    """Trains like `python train.py OVERRIDES` in this process, and returns the run at its best checkpoint, if any.

    Raises UserError for anything that train.py refuses. Sweeps need the command line.
    """
    register_resolvers()
    argv = compose_resumed_run_from_its_config(list(overrides))
    options = get_args_parser().parse_args(argv)
    if options.multirun or options.config_dir:
        raise UserError("train only takes key=value: start sweeps and runs with --config-dir on the command line.")
    directories: list[Path] = []

    def task(cfg: DictConfig) -> None:
        with for_the_user(cfg):
            _train_py().train(cfg)
        directories.append(Path(cfg.run_dir))

    name = options.config_name or "train"
    with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
        try:
            compose(name, options.overrides)
        except Exception as error:
            raise UserError(explained(name, argv) or str(error)) from error
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        hydra.run(name, task, options.overrides).return_value  # noqa: B018 (raises the task's exception)
    silence_idle_messages()
    best = (directories[0] / "checkpoints" / "best.ckpt").is_file()
    return load_run(directories[0], "best" if best else "last")


def _train_py() -> Any:
    """train.py as a module, whatever the current directory."""
    if "train" in sys.modules and getattr(sys.modules["train"], "__file__", None) == str(ROOT / "train.py"):
        return sys.modules["train"]
    spec = importlib.util.spec_from_file_location("train", ROOT / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
