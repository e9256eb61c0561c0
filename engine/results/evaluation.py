"""The metrics of a trained network, in the very way in which its training computed them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.callbacks import RichProgressBar
from torchvision.datasets.folder import IMG_EXTENSIONS

from engine.build import build_features
from engine.config.resolvers import count_classes
from engine.errors import UserError
from engine.run.quiet import silence_idle_messages
from engine.run.record import collect_metrics
from engine.run.trained import Trained, load_trained
from engine.speed.memory import keep_freed_memory

SPLITS = ("val", "test")


@dataclass(frozen=True)
class Evaluation:
    """The metrics of `split` by their TensorBoard names, and what they were computed with and on."""

    trained: Trained
    split: str
    overrides: Sequence[str]
    metrics: dict[str, Any]
    data: dict[str, Any]


def evaluate(directory: Path, *, split: str, checkpoint: str, overrides: Sequence[str]) -> Evaluation | None:
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
    data = {"name": datamodule.name, "source": datamodule.source, "counts": datamodule.counts()}
    data |= {key: config.datamodule[key] for key in ("data_dir",) if key in config.datamodule}
    in_terminal = sys.stdout.isatty()
    trainer = instantiate(
        config.trainer,
        logger=False,
        enable_checkpointing=False,
        profiler=None,
        callbacks=[RichProgressBar(leave=False)] if in_terminal else [],
        enable_progress_bar=in_terminal,
    )
    if split == "val":
        trainer.validate(module, datamodule, verbose=False)
    elif datamodule.has_test:
        trainer.test(module, datamodule, verbose=False)
    metrics = {name: value for name, value in collect_metrics(trainer).items() if name.startswith(f"{split}/")}
    if not metrics:
        raise UserError(f"split={split}: {datamodule.name} has no such split; choose the other of {', '.join(SPLITS)}.")
    return Evaluation(trained, split, list(overrides), metrics, data) if trainer.is_global_zero else None


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
        raise UserError(
            f"{datamodule.name} has the classes {', '.join(classes)}, where the run {trained.directory} learned "
            f"{', '.join(run_data['classes'])}: give data of the same classes."
        )
    return datamodule


def _read_class_folders(node: DictConfig) -> None:
    """Lets other photos than the run's own lie in any folder of class folders, whatever classes these are."""
    root = Path(node.data_dir)
    if (root / "val").is_dir() or any(file.suffix.lower() in IMG_EXTENSIONS for file in root.glob("[!.]*/*")):
        if "stand_in" in node:  # photos of a known data set, of which these are none
            node._target_ = "datamodules.image_folder.ImageFolder"
            del node.stand_in
        node.num_classes = count_classes(str(root))  # the names are compared
