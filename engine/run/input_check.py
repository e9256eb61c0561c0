"""Whether the network takes inputs of the data's shape, found before anything is trained."""

import copy
import re
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from engine.build import network_name
from engine.errors import UserError
from engine.run.config_file import has_features
from engine.training.procedure import Procedure

SHAPES = re.compile(
    r"expected input|channels|shapes cannot be multiplied|size mismatch|kernel size|output size is too small"
    r"|must match the size|sizes? of tensors? must match|broadcast|expected .*(input|dimension|D )|normalized_shape",
    re.IGNORECASE,
)
"""Words with which torch refuses a shape."""


def check_input(cfg: DictConfig, module: Any, data: Mapping[str, Any]) -> None:
    """UserError, before the training, if the network refuses two inputs of the data's `input_shape`.

    A copy of the network is run on torch's meta device, without weights, arithmetic or compilation. Since operations
    may be missing there, a network that fails is run again on zeros: only if that fails too is it refused.
    """
    network, shape = getattr(module, "network", None), data["input_shape"]
    if not isinstance(module, Procedure) or not isinstance(network, nn.Module) or shape is None or has_features(cfg):
        return
    with torch.no_grad(), isolate_rng():
        try:
            _without_weights(network)(torch.empty(2, *shape, device="meta"))
        except Exception:  # of whatever does not work on the meta device
            reason = _refused(network, shape)
        else:
            return
    if reason is None:
        return
    settings = cfg.get("network") or {}
    channels = f"network.in_channels={shape[0]} or " if "in_channels" in settings and len(shape) == 3 else ""
    raise UserError(
        f"network={network_name(settings)} does not take inputs of shape {tuple(shape)}, which {data['name']} has "
        f"({reason}): give {channels}another network or datamodule."
    )


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
