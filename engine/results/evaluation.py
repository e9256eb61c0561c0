"""Evaluates a trained network exactly as its training did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.utilities.model_helpers import is_overridden

from engine.build import build_features
from engine.errors import UserError
from engine.photos.formats import counts_as_photo
from engine.photos.layouts.selection import composed
from engine.photos.layouts.split_folders import split_folders
from engine.process.activity import Activity
from engine.process.startup import silence_idle_messages
from engine.protocols import ReadsOtherFolders
from engine.results.outputs import Collector, PhotoRow, photo_rows
from engine.results.preprocessing import compute_in_32_bits
from engine.run.data_facts import classes_of, counts_of
from engine.run.trained import Trained, load_config, load_trained
from engine.speed.memory import keep_freed_memory

SPLITS = ("val", "test")
PLACES = ("datamodule.data_dir", "datamodule.table")
"""Settings that select the data."""


@dataclass(frozen=True)
class Evaluation:
    """The metrics of `split` by their TensorBoard names, and how they were computed.

    `elsewhere`: whether the data is not the run's own. `photos`: a row for each photo, if its classes were predicted.
    `heads`: the result of each head of a cross-validation.
    """

    trained: Trained
    split: str
    overrides: Sequence[str]
    metrics: dict[str, Any]
    data: dict[str, Any]
    elsewhere: bool = False
    photos: Sequence[PhotoRow] = ()
    heads: Sequence[dict[str, Any]] = ()


def evaluate(
    directory: Path, *, split: str, checkpoint: str, overrides: Sequence[str], callbacks: Sequence[Callback] = ()
) -> Evaluation | None:
    """Evaluates a run's network on its own data or, with `overrides` of its config, on other data of the same classes.

    With the run's own config, the metrics are bit-identical to the run's (on the same kind of machine, with the same
    number of threads): `best` reproduces its best validation and its test, `last` its last validation. Another folder
    of class folders is evaluated completely, in 32-bit precision like predict.py and exports. Returns None in all
    processes but the first.

    Raises:
        UserError: no such run, checkpoint or split, an unknown override, or data with other classes.
    """
    if split not in SPLITS:
        raise UserError(f"split={split}: choose from {', '.join(SPLITS)}, cross_validation.")
    trained = load_trained(directory, checkpoint, overrides)
    config = trained.config
    silence_idle_messages()
    keep_freed_memory()
    elsewhere = _is_elsewhere(directory, overrides)
    datamodule, part = load_data(trained, split, elsewhere)
    module = trained.load_module()
    if trained.has_features:
        datamodule = build_features(config, datamodule, module.network)
    data = {key: getattr(datamodule, key, None) or trained.data[key] for key in ("name", "source")}
    data["counts"] = counts_of(datamodule)
    data["part"] = part
    data |= {key: config.datamodule[key] for key in ("data_dir", "table") if key in config.datamodule}
    trainer = trainer_for_evaluation(config.trainer, [collector := Collector(), *callbacks])
    _check_split(split, module, datamodule, data["name"])
    (trainer.validate if split == "val" else trainer.test)(module, datamodule, verbose=False)
    metrics = {name: written(value) for name, value in trainer.callback_metrics.items() if name != "step"}
    if not metrics:
        raise UserError(
            f"split={split}: {data['name']} has no such data, or {type(module).__name__} logs nothing for it."
        )
    if not trainer.is_global_zero:
        return None
    return Evaluation(
        trained, split, list(overrides), metrics, data, elsewhere, photo_rows(collector.predictions(), datamodule)
    )


def trainer_for_evaluation(node: DictConfig, callbacks: Sequence[Callback] = ()) -> Any:
    """A Trainer with a run's settings that writes nothing and shows its progress on a transient line."""
    return instantiate(
        node,
        logger=False,
        enable_checkpointing=False,
        profiler=None,
        callbacks=[*callbacks, _Progress()],
        enable_progress_bar=False,
    )


class _Progress(Callback):
    """Shows progress in batches (engine/process/activity.py)."""

    shown: Activity | None = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer.num_val_batches)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer.num_test_batches)

    def _begin(self, counts: Sequence[float]) -> None:
        total = sum(counts)
        self.shown = Activity("evaluating", total if math.isfinite(total) else None, "batches")

    def on_validation_batch_end(self, *args: Any) -> None:
        assert self.shown is not None
        self.shown.advance()

    def on_test_batch_end(self, *args: Any) -> None:
        self.on_validation_batch_end()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.shown is not None:
            self.shown.end()
            self.shown = None

    on_test_end = on_validation_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_validation_end(trainer, pl_module)


def _check_split(split: str, module: Any, datamodule: Any, name: str) -> None:
    """UserError if a part lacks a method that Lightning's validation or test needs."""
    loader, step = f"{split}_dataloader", {"val": "validation_step", "test": "test_step"}[split]
    if not is_overridden(step, module, LightningModule):
        raise UserError(f"split={split}: {type(module).__name__} has no {step}.")
    if datamodule is None:
        has_loader = is_overridden(loader, module, LightningModule)
    else:
        has_loader = is_overridden(loader, datamodule, LightningDataModule)
    if not has_loader or (split == "test" and not getattr(datamodule, "has_test", True)):
        raise UserError(f"split={split}: {name} has no such split; choose the other of {', '.join(SPLITS)}.")


def written(value: Any) -> float | str:
    """The value as stored in metrics.json: JSON has neither NaN nor infinity."""
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _is_elsewhere(directory: Path, overrides: Sequence[str]) -> bool:
    given = {key: value for key, _, value in (override.partition("=") for override in overrides) if key in PLACES}
    own = load_config(directory) if given else OmegaConf.create()
    return any(
        Path(value).resolve() != Path(OmegaConf.select(own, key) or "").resolve() for key, value in given.items()
    )


def load_data(trained: Trained, split: str, elsewhere: bool) -> tuple[Any, str]:
    """Sets up the datamodule and checks its classes; returns it with the name of the evaluated part.

    None if the LightningModule has its own data. Stand-in data is only used for a run that was trained on it.
    """
    node, run_data = trained.config.datamodule, trained.data
    if not node:
        return None, split
    if "stand_in" in node:
        node.stand_in = run_data["source"] == "stand-in"
    if elsewhere and {"eval_transform", "stand_in"} <= node.keys():
        _read_class_folders(node)
    datamodule = instantiate(node)
    datamodule.prepare_data()
    if elsewhere and isinstance(datamodule, ReadsOtherFolders) and "stand_in" not in node:
        if "num_folds" in (trained.config.get("features") or {}):
            raise UserError(
                f"{trained.directory} cross-validates its own photos: evaluate a run with one head instead."
            )
        compute_in_32_bits(trained.config)
        return datamodule, datamodule.set_up_alone(split, run_data["classes"])
    datamodule.setup("fit")
    classes = classes_of(datamodule)
    if [composed(name) for name in classes] != [composed(name) for name in run_data["classes"]]:
        name = getattr(datamodule, "name", type(datamodule).__name__)
        raise UserError(
            f"{name} has the classes {', '.join(classes)}, but the run {trained.directory} learned "
            f"{', '.join(run_data['classes'])}: give data with the same classes."
        )
    return datamodule, split


def _read_class_folders(node: DictConfig) -> None:
    """Accepts any folder of class folders for a known data set, with or without folders of splits."""
    root = Path(node.data_dir)
    if split_folders(root, for_training=False) or any(counts_as_photo(file.name) for file in root.glob("[!.]*/*")):
        node._target_ = "datamodules.image_folder.ImageFolder"
        del node.stand_in
