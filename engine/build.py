"""Builds the network of a config, or the substitute that the config names where its weights cannot be had."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.errors import UserError, WeightsError
from engine.paths import CONF

logger = logging.getLogger(__name__)

READ_HERE = ("substitute", "substitute_for")
"""Keys of `cfg.network` that are not the network's own."""


def build_network(cfg: DictConfig, checkpoints: Path | None) -> Any:
    """The network of `cfg.network`; where a substitute takes its place, `cfg.network` becomes the substitute's.

    `cfg.network.substitute` names it (null: none), `cfg.network.substitute_for` says afterwards whose place it took.
    Of a run that has `checkpoints` the weights lie there, so no pretrained ones are looked for.
    """
    if checkpoints is not None:
        return _without_pretrained_weights(cfg.network, checkpoints)
    try:
        return _instantiate(cfg.network)
    except WeightsError as error:
        wanted, substitute = network_name(cfg.network), cfg.network.get("substitute")
        if substitute is None:
            raise UserError(
                f"{error} Give network.substitute=NAME or network.pretrained=false to go on without."
            ) from error
        logger.warning("%s", error)
        with open_dict(cfg):
            cfg.network = OmegaConf.load(CONF / "network" / f"{substitute}.yaml")
            cfg.network.substitute_for = wanted
        return _instantiate(cfg.network)


def _without_pretrained_weights(node: DictConfig, checkpoints: Path) -> Any:
    """The network with the frozen backbone that lies in `checkpoints`, if one does; the rest is loaded with the run."""
    network = _instantiate({**node, "pretrained": False} if "pretrained" in node else node)
    backbone = checkpoints / "backbone.ckpt"
    if backbone.is_file():
        network.backbone.load_state_dict(load_checkpoint(backbone))
    return network


def _instantiate(node: Mapping[Any, Any]) -> Any:
    settings = {key: value for key, value in node.items() if key not in READ_HERE}
    try:
        return instantiate(settings)
    except InstantiationException as error:  # Hydra's cover of what the network's class raised
        if isinstance(error.__cause__, WeightsError):
            raise error.__cause__ from None
        raise


def build_module(cfg: DictConfig, network: Any, **instead: Any) -> Any:
    """The procedure of `cfg.lightning_module` with this network; `instead` takes the place of its own settings."""
    rooms = {room: instantiate(cfg[room]) for room in ("loss", "optimizer", "scheduler")}
    return instantiate(cfg.lightning_module, network=network, **rooms, **instead)


def build_features(cfg: DictConfig, datamodule: Any, network: Any) -> Any:
    """The features of the datamodule's photos, as `cfg.features` says, in the place of the photos."""
    from engine.features.frozen import FrozenBackbone

    settings = dict(cfg.features)
    backbone = FrozenBackbone(network, str(settings.pop("precision")))  # a command line's 32 is a number
    return instantiate(
        settings, photos=datamodule, backbone=backbone, num_features=network.head.in_features, key=backbone.key
    )


def network_name(node: DictConfig) -> str:
    """As the config group has it, `resnet18`; with timm's own name where there is one, `timm/convnext_tiny`."""
    name = str(node["_target_"]).split(".")[1]
    return f"{name}/{node['name']}" if "name" in node else name
