"""Nested cross-validation of a run's head on cached features: its accuracy on photos that selected nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning import seed_everything

from engine.build import build_features, build_module
from engine.errors import UserError
from engine.features.folds import Folds
from engine.paths import CONF
from engine.process.startup import silence_idle_messages
from engine.results.evaluation import Evaluation, evaluate, load_data, trainer_for_evaluation, written
from engine.results.outputs import Collector, photo_rows
from engine.run.config_file import has_features
from engine.run.data_facts import counts_of
from engine.run.trained import Trained, load_trained
from engine.speed.memory import keep_freed_memory

SPLIT = "cross_validation"
MIN_FOLDS = 3
"""One to evaluate on, one to choose the epoch, one to train on."""


def judge(directory: Path, *, split: str, checkpoint: str, overrides: Sequence[str]) -> Evaluation | None:
    """Runs `cross_validate` for that split, or else `evaluate`."""
    if split == SPLIT:
        return cross_validate(directory, checkpoint=checkpoint, overrides=overrides)
    return evaluate(directory, split=split, checkpoint=checkpoint, overrides=overrides)


def cross_validate(directory: Path, *, checkpoint: str, overrides: Sequence[str]) -> Evaluation | None:
    """Retrains the head of the run in `directory` on parts of its training and validation photos, all heads at once.

    Each of 10 parts is held out once in each of 5 repeats (conf/features/folds.yaml); a test split is not used. If a
    class has fewer than 10 photos, there are as many parts as it has photos. The metrics are those of
    lightning_modules/cross_validator.py: `val/nested_acc` at epochs chosen like the run's best epoch, but on other
    photos than those evaluated, and `val/acc` at the last epoch. Seed, optimizer, schedule and number of epochs are the
    run's. Returns None in all processes but the first.

    UserError if the run has no frozen backbone, or is a cross-validation itself.
    """
    trained = load_trained(directory, checkpoint, overrides)
    _fold(trained)
    config = trained.config
    silence_idle_messages()
    keep_freed_memory()
    seed_everything(config.seed, verbose=False)
    datamodule, _ = load_data(trained, "val", elsewhere=False)
    config.features.num_folds = _number_of_folds([*datamodule.train.labels, *datamodule.val.labels], config)
    network: Any = trained.load_network().train()
    module = build_module(config, network)
    folds: Folds = build_features(config, datamodule, network)
    trainer = trainer_for_evaluation(config.trainer, [collector := Collector()])
    trainer.fit(module, folds)
    if not trainer.is_global_zero:
        return None
    metrics = {name: written(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    data = {"name": folds.name, "source": folds.source, "counts": counts_of(folds), "part": SPLIT}
    return Evaluation(
        trained,
        SPLIT,
        list(overrides),
        metrics,
        data,
        photos=photo_rows(collector.predictions(), folds),
        heads=module.choice.heads(),
    )


def can_be_cross_validated(config: Mapping[Any, Any]) -> bool:
    """Whether a config trains a single head on cached features."""
    features = config.get("features") or {}
    return has_features(config) and "num_folds" not in features and _validator(config) is not None


def _validator(config: Mapping[Any, Any]) -> str | None:
    """The procedure in conf/lightning_module/ that cross-validates the config's; None if there is none."""
    with suppress(Exception):  # a foreign part that cannot be imported
        name: str | None = getattr(get_object(str(config["lightning_module"]["_target_"])), "cross_validator", None)
        return name
    return None


def _number_of_folds(labels: Sequence[int], config: DictConfig) -> int:
    """The config's number, or the size of the smallest class if that is less. UserError below three."""
    smallest = min(Counter(labels).values())
    if smallest < MIN_FOLDS:
        raise UserError(f"split={SPLIT}: needs {MIN_FOLDS} photos of each class; one class has {smallest}.")
    return min(int(config.features.num_folds), smallest)


def _fold(trained: Trained) -> None:
    """Changes the run's config to that of its cross-validation."""
    config = trained.config
    name = _validator(config)
    if "num_folds" in (config.get("features") or {}):
        raise UserError(f"split={SPLIT}: {trained.directory} is a cross-validation itself; see its own val/acc.")
    if name is None or not trained.has_features:
        raise UserError(
            f"split={SPLIT}: retrains a head on cached features, which {trained.directory} does not have: hold out a "
            "test split instead, with datamodule.test_fraction=0.2 in training."
        )
    with open_dict(config):
        for group, choice in (("features", "folds"), ("lightning_module", name)):
            node = OmegaConf.load(CONF / group / f"{choice}.yaml")
            assert isinstance(node, DictConfig)
            config[group] = OmegaConf.merge(
                config[group], {key: node._get_node(key) for key in node if key != "defaults"}
            )
        config.features.choose_epoch_by = "loss" if str(config.monitor.metric).endswith("loss") else "acc"
        config.trainer.check_val_every_n_epoch = 1
