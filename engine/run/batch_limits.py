"""Whether the Trainer's limits leave batches to train, validate and test on, found before anything is trained."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.seed import isolate_rng

from engine.errors import UserError
from engine.protocols import Classes, Counts, NamedData
from engine.run.data_facts import has_test

SPLITS = ("train", "val", "test")


class BatchLimits(Callback):
    """UserError if a share of a split's batches leaves none, or an epoch ends before its first validation.

    Lightning finds out when it reaches the split: for the test data, after the training. Data that does not describe
    itself is left to Lightning, since loading it twice may be costly.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        if stage != "fit" or not isinstance(datamodule, NamedData | Classes | Counts):
            return
        every: Any = getattr(trainer, "val_check_interval", None)  # batches, or a share; timed, it is None
        with isolate_rng():
            for split in SPLITS:
                if _share(trainer, split) < 1:
                    for batches in _lengths(datamodule, pl_module, split):
                        _require_one(trainer, split, batches)
            if isinstance(every, int) and trainer.check_val_every_n_epoch is not None:
                for batches in _lengths(datamodule, pl_module, "train"):
                    _require_validation(trainer, every, batches)


def _share(trainer: Trainer, split: str) -> float:
    """The share of a split's batches that is used; infinite if their number is given, or none are used."""
    limit = getattr(trainer, f"limit_{split}_batches")
    return limit if isinstance(limit, float) and limit > 0 else math.inf


def _lengths(datamodule: Any, module: LightningModule, split: str) -> Iterator[int]:
    """The number of batches in each of a split's loaders that has one."""
    if split == "test":
        if not has_test(datamodule, module):
            return
        datamodule.setup("test")
    loaders = getattr(datamodule, f"{split}_dataloader")()
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    for loader in loaders if isinstance(loaders, list | tuple) else [loaders]:
        try:
            yield len(loader)
        except (TypeError, NotImplementedError):  # a stream
            continue


def _require_one(trainer: Trainer, split: str, batches: int) -> None:
    share = _share(trainer, split)
    if batches and int(share * batches) < 1:
        overfits = trainer.overfit_batches and split != "test"  # type: ignore[attr-defined]
        key = "overfit_batches" if overfits else f"limit_{split}_batches"
        raise UserError(
            f"trainer.{key}={share:g} leaves none of the {split} split's batches, of which there are {batches}: give "
            f"at least {math.ceil(1000 / batches) / 1000:g}, or a whole number of batches."
        )


def _require_validation(trainer: Trainer, every: int, batches: int) -> None:
    limit = trainer.limit_train_batches
    used = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if every > used:
        raise UserError(
            f"trainer.val_check_interval={every} is more than the {used} batches of an epoch: give at most {used}, "
            "or add trainer.check_val_every_n_epoch=null to count across epochs."
        )
