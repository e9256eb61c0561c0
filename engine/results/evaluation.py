"""The metrics of a trained network, in the very way in which its training computed them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningDataModule, LightningModule
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.utilities.model_helpers import is_overridden

from engine.build import build_features
from engine.config.resolvers import count_classes
from engine.errors import UserError
from engine.photos.images import SUFFIXES
from engine.protocols import Counts
from engine.run.trained import Trained, load_trained
from engine.speed.memory import keep_freed_memory
from engine.startup import silence_idle_messages

SPLITS = ("val", "test")


@dataclass(frozen=True)
class Evaluation:
    """The metrics of `split` by their TensorBoard names, and what they were computed with and on."""

    trained: Trained
    split: str
    overrides: Sequence[str]
    metrics: dict[str, Any]
    data: dict[str, Any]


def evaluate(
    directory: Path, *, split: str, checkpoint: str, overrides: Sequence[str], callbacks: Sequence[Callback] = ()
) -> Evaluation | None:
    """The metrics of a run's network on its own data or, by `overrides` of its config, on other data of its classes.

    With the run's own config they are those of the run itself, bit for bit (on the same kind of machine, and with the
    same number of threads): `best` gives its best validation and its test, `last` its last validation. None in all of
    several processes but the first.

    Raises:
        UserError: no such run, checkpoint or split, an unknown override, or data of other classes.
    """
    if split not in SPLITS:
        raise UserError(f"split={split}: choose from {', '.join(SPLITS)}.")
    trained = load_trained(directory, checkpoint, overrides)
    config = trained.config
    silence_idle_messages()
    keep_freed_memory()
    datamodule = _load_data(trained, overrides)
    module = trained.load_module()
    if trained.has_features:
        datamodule = build_features(config, datamodule, module.network)
    data = {key: getattr(datamodule, key, trained.data[key]) for key in ("name", "source")}
    data["counts"] = dict(datamodule.counts()) if isinstance(datamodule, Counts) else {}
    data |= {key: config.datamodule[key] for key in ("data_dir",) if key in config.datamodule}
    in_terminal = sys.stdout.isatty()
    trainer = instantiate(
        config.trainer,
        logger=False,
        enable_checkpointing=False,
        profiler=None,
        callbacks=[*callbacks, *([RichProgressBar(leave=False)] if in_terminal else [])],
        enable_progress_bar=in_terminal,
    )
    _check_split(split, module, datamodule, data["name"])
    (trainer.validate if split == "val" else trainer.test)(module, datamodule, verbose=False)
    metrics = {name: _written(value) for name, value in trainer.callback_metrics.items() if name != "step"}
    if not metrics:
        raise UserError(
            f"split={split}: {data['name']} has no such data, or {type(module).__name__} logs nothing of it."
        )
    return Evaluation(trained, split, list(overrides), metrics, data) if trainer.is_global_zero else None


def _check_split(split: str, module: Any, datamodule: Any, name: str) -> None:
    """UserError where a part lacks what Lightning's validation or test needs."""
    loader, step = f"{split}_dataloader", {"val": "validation_step", "test": "test_step"}[split]
    if not is_overridden(step, module, LightningModule):
        raise UserError(f"split={split}: {type(module).__name__} has no {step}.")
    has_loader = is_overridden(loader, datamodule, LightningDataModule)
    if not has_loader or (split == "test" and not getattr(datamodule, "has_test", True)):
        raise UserError(f"split={split}: {name} has no such split; choose the other of {', '.join(SPLITS)}.")


def _written(value: Any) -> float | str:
    """As in metrics.json: JSON has no NaN and no infinity."""
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _load_data(trained: Trained, overrides: Sequence[str]) -> Any:
    """The datamodule, set up, its classes those of the run. Drawn data serves only a run that was on such itself."""
    node, run_data = trained.config.datamodule, trained.data
    if "stand_in" in node:
        node.stand_in = run_data["source"] == "stand-in"
    if "eval_transform" in node and any(override.startswith("datamodule.data_dir=") for override in overrides):
        _read_class_folders(node)
    datamodule = instantiate(node)
    datamodule.prepare_data()
    datamodule.setup("fit")
    classes = list(getattr(datamodule, "classes", ()))
    if classes != run_data["classes"]:
        name = getattr(datamodule, "name", type(datamodule).__name__)
        raise UserError(
            f"{name} has the classes {', '.join(classes)}, where the run {trained.directory} learned "
            f"{', '.join(run_data['classes'])}: give data of the same classes."
        )
    return datamodule


def _read_class_folders(node: DictConfig) -> None:
    """Lets other photos than the run's own lie in any folder of class folders, whatever classes these are."""
    root = Path(node.data_dir)
    if (root / "val").is_dir() or any(file.suffix.lower() in SUFFIXES for file in root.glob("[!.]*/*")):
        if "stand_in" in node:  # photos of a known data set, of which these are none
            node._target_ = "datamodules.image_folder.ImageFolder"
            del node.stand_in
        node.num_classes = count_classes(str(root))  # the names are compared
