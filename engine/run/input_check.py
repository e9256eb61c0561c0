"""Whether the network takes the data, and the Trainer's limits leave any, found before anything is trained."""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn
from torch.nn.parameter import is_lazy

from engine.build import network_name
from engine.errors import UserError
from engine.protocols import Classes, Counts, NamedData
from engine.run.config_file import has_features
from engine.run.data_facts import has_test
from engine.training.procedure import Procedure

SHAPES = re.compile(
    r"expected input|channels|shapes cannot be multiplied|size mismatch|kernel size|output size is too small"
    r"|must match the size|sizes? of tensors? must match|broadcast|expected .*(input|dimension|D )|normalized_shape",
    re.IGNORECASE,
)
"""Words with which torch refuses a shape."""

LARGE, LARGE_INPUT = 30_000_000, 500_000
"""A network counts as large with so many weights, or inputs of so many values; a ResNet-18 for photos does not."""

SPLITS = ("train", "val", "test")


def check_input(cfg: DictConfig, module: Any, data: Mapping[str, Any]) -> None:
    """UserError, before the training, if the network refuses two inputs of the data's `input_shape`.

    A copy of the network is run on zeros. A large one is first run on torch's meta device, without weights, arithmetic
    or compilation; since operations may be missing there, it is only refused if it fails on zeros, too.
    """
    network, shape = getattr(module, "network", None), data["input_shape"]
    if not isinstance(module, Procedure) or not isinstance(network, nn.Module) or shape is None or has_features(cfg):
        return
    with torch.no_grad(), isolate_rng():
        reason = None if _passes_on_meta(network, shape) else _refused(network, shape)
    if reason is None:
        return
    settings = cfg.get("network") or {}
    channels = f"network.in_channels={shape[0]} or " if "in_channels" in settings and len(shape) == 3 else ""
    raise UserError(
        f"network={network_name(settings)} does not take inputs of shape {tuple(shape)}, which {data['name']} has "
        f"({reason}): give {channels}another network or datamodule."
    )


def _passes_on_meta(network: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a large network runs on the meta device. For a small one, zeros are faster: meta tensors need sympy."""
    parameters = list(network.parameters())
    if any(map(is_lazy, parameters)):
        return False
    if sum(parameter.numel() for parameter in parameters) < LARGE and math.prod(shape) < LARGE_INPUT:
        return False
    try:
        _without_weights(network)(torch.empty(2, *shape, device="meta"))
    except Exception:  # of whatever does not work there
        return False
    return True


def _without_weights(network: nn.Module) -> nn.Module:
    """A copy whose tensors are on the meta device. Copies are never compiled."""
    tensors = (*network.parameters(), *network.buffers())
    return copy.deepcopy(network, {id(tensor): tensor.detach().to("meta") for tensor in tensors})


def _refused(network: nn.Module, shape: tuple[int, ...]) -> str | None:
    """What torch says if the network refuses inputs of this shape; None if it takes them or fails otherwise."""
    try:
        copy.deepcopy(network)(torch.zeros(2, *shape))
    except RuntimeError as error:
        text = " ".join(str(error).split())
        return text[:300] if SHAPES.search(text) else None
    except Exception:  # the training will say
        return None
    return None


# The Trainer's limits -------------------------------------------------------------------------------------------------


class BatchLimits(Callback):
    """UserError if a share of a split's batches leaves none, or an epoch ends before its first validation.

    Lightning finds out when it reaches the split: for the test data, after the training. Data that does not describe
    itself is left to Lightning, since loading it twice may be costly.
    """

    follows_chunks = True  # engine/training/steps/chunks.py

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        every: Any = getattr(trainer, "val_check_interval", None)  # batches, or a share; timed, it is None
        interval = every if isinstance(every, int) and trainer.check_val_every_n_epoch is not None else 0
        shared = [split for split in SPLITS if _share(trainer, split) < 1]
        is_limited = stage == "fit" and (shared or interval)
        if not is_limited or not isinstance(datamodule, NamedData | Classes | Counts):
            return
        with isolate_rng():
            for split in shared:
                for batches in _lengths(datamodule, pl_module, split):
                    _require_one(trainer, split, batches)
            for batches in _lengths(datamodule, pl_module, "train") if interval else ():
                _require_validation(trainer, interval, batches)


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
