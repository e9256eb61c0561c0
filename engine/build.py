"""Builds the parts of a config."""

import hashlib
import inspect
import logging
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.plugins import CheckpointIO

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.errors import UserError, WeightsError
from engine.paths import CONF, ROOT
from engine.protocols import WeighsClasses
from engine.speed.shared_backbone import of_shared, on_shared_backbone

logger = logging.getLogger(__name__)

FOR_MODULE = ("network", "loss", "optimizer", "scheduler")
"""Parts that are passed to a LightningModule if its constructor has a parameter of that name."""

CLASS_WEIGHTS = ("weight", "pos_weight")
"""Tensor arguments of torch's losses."""

READ_HERE = ("substitute", "substitute_for")
"""Keys of `cfg.network` that this module reads and does not pass to the network."""


def build_network(cfg: DictConfig, checkpoints: Path | None, *, shared: bool = False) -> Any:
    """Builds `cfg.network`; None if there is none or the LightningModule takes none.

    With `shared`, networks of one config have one backbone in this process, which must stay frozen.

    If its pretrained weights are not available, `cfg.network.substitute` (null: stop) is built instead; `cfg.network`
    becomes the substitute's config, and `cfg.network.substitute_for` the original network's name. With `checkpoints`,
    pretrained weights are not loaded, since the checkpoints contain the weights.
    """
    if cfg.get("network") is None or "network" not in given_to_module(cfg):
        return None
    if checkpoints is not None:
        return _without_pretrained_weights(cfg.network, checkpoints)
    try:
        if shared and not cfg.get("compile"):
            key = f"{cfg.network} {cfg.get('channels_last')}"
            return on_shared_backbone(key, lambda: _instantiate(cfg.network))
        return _instantiate(cfg.network)
    except WeightsError as error:
        wanted, substitute = network_name(cfg.network), cfg.network.get("substitute")
        if substitute is None:
            raise UserError(
                f"{error} Set network.substitute=NAME or network.pretrained=false to continue without them."
            ) from error
        logger.warning("%s", error)
        with open_dict(cfg):
            cfg.network = _composed(f"network/{substitute}").network
            cfg.network.substitute_for = wanted
        return _instantiate(cfg.network)


def _without_pretrained_weights(node: DictConfig, checkpoints: Path) -> Any:
    """Builds the network and loads a frozen backbone from `checkpoints` if there is one; the rest is loaded later."""
    network = _instantiate({**node, "pretrained": False} if "pretrained" in node else node)
    backbone = checkpoints / "backbone.ckpt"
    if backbone.is_file() and hasattr(network, "backbone"):  # else reported when the rest is loaded
        network.backbone.load_state_dict(load_checkpoint(backbone))
    return network


def _instantiate(node: Mapping[Any, Any]) -> Any:
    settings = {key: value for key, value in node.items() if key not in READ_HERE}
    try:
        return instantiate(settings)
    except InstantiationException as error:  # Hydra's wrapper of the network's exception
        if isinstance(error.__cause__, WeightsError):
            raise error.__cause__ from None
        raise


def _composed(name: str) -> DictConfig:
    """Composes a config of conf/ with its defaults list."""
    running = GlobalHydra.instance().hydra  # the run's own; Hydra allows only one at a time
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(name)
    finally:
        GlobalHydra.instance().hydra = running


def build_module(cfg: DictConfig, network: Any, **instead: Any) -> Any:
    """Builds `cfg.lightning_module` with this network; `instead` overrides its settings."""
    make = {"network": lambda _: network, "loss": build_loss}
    parts = {part: make.get(part, instantiate)(cfg[part]) for part in given_to_module(cfg)}
    target = get_object(cfg.lightning_module["_target_"])
    return instantiate(cfg.lightning_module, **parts, **{key: instead[key] for key in instead if takes(target, key)})


def configured(module: Any) -> Any:
    """The module with what its `configure_model` makes, to load weights into; the Trainer may call that again."""
    if isinstance(module, LightningModule):
        module.configure_model()
    return module


def build_loss(node: Mapping[Any, Any]) -> Any:
    """Builds the loss; its class weights may be given as a list. ValueError if that has anything but numbers."""
    weights = {key: node[key] for key in CLASS_WEIGHTS if isinstance(node.get(key), list | ListConfig)}
    for key, values in weights.items():
        if not all(isinstance(value, int | float) for value in values):
            raise ValueError(f"{key} must be a list of numbers, one per class")
    tensors = {key: torch.tensor(list(values), dtype=torch.float32) for key, values in weights.items()}
    return instantiate({key: value for key, value in node.items() if key not in weights}, **tensors)


def weigh_classes(cfg: DictConfig, datamodule: Any) -> None:
    """Sets `loss.weight` to the weights of the datamodule (WeighsClasses), if it has any.

    UserError if the loss takes none, or has others.
    """
    weights = datamodule.class_weights() if isinstance(datamodule, WeighsClasses) else None
    if weights is None:
        return
    if not takes(get_object(cfg.loss["_target_"]), "weight"):
        raise UserError(
            f"datamodule.balance=weights: {cfg.loss['_target_']} takes no class weights: give balance=sampler instead."
        )
    if cfg.loss.get("weight") not in (None, list(weights)):
        raise UserError("datamodule.balance=weights sets loss.weight, which is given too: leave one of them out.")
    with open_dict(cfg):
        cfg.loss.weight = list(weights)


def given_to_module(cfg: Mapping[Any, Any]) -> list[str]:
    """Which of the config's network, loss, optimizer and scheduler its LightningModule takes."""
    given = [part for part in FOR_MODULE if part in cfg]
    if "lightning_module" not in cfg:
        return given
    target = get_object(cfg["lightning_module"]["_target_"])
    return [part for part in given if takes(target, part)]


def takes(target: Any, name: str) -> bool:
    """Whether a callable has this parameter; a constructor with **kwargs also has those of its base class."""
    bases = target.__mro__[:-1] if inspect.isclass(target) else ()
    for function in [vars(base)["__init__"] for base in bases if "__init__" in vars(base)] or [target]:
        parameters = inspect.signature(function).parameters
        if name in parameters:
            return True
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
            return False
    return False


def build_callbacks(cfg: DictConfig) -> list[Any]:
    """Builds the callbacks of `callback` and `trainer.callbacks`.

    Without a monitored metric, callbacks that need one are left out. Another progress bar replaces the project's;
    `trainer.enable_progress_bar=false` removes all of them, and `trainer.enable_checkpointing=false` all checkpoints.
    """
    names = [name for name in cfg.get("callback") or () if cfg.monitor.metric or not follows_monitor(cfg, name)]
    settings = {name: {"_convert_": "all", **cfg.callback[name]} for name in names}
    made = [*_built("callback", settings, "state_key"), *in_trainer(cfg, "callbacks")]
    unwanted = [
        kind
        for key, kind in (("enable_progress_bar", ProgressBar), ("enable_checkpointing", Checkpoint))
        if cfg.trainer.get(key) is False
    ]
    made = [callback for callback in made if not isinstance(callback, tuple(unwanted))]
    bars = [callback for callback in made if isinstance(callback, ProgressBar)]
    ours = [bar for bar in bars if type(bar).__module__.startswith("engine.")]
    return [callback for callback in made if len(bars) < 2 or callback not in ours]


def build_loggers(cfg: DictConfig) -> list[Any]:
    """Builds the loggers of `logger` and `trainer.logger`."""
    return [*_built("logger", cfg.get("logger") or {}, "log_metrics"), *in_trainer(cfg, "logger")]


def _built(group: str, settings: Mapping[Any, Any], member: str) -> list[Any]:
    """Builds the members of a group. UserError if a function makes something else, without the attribute `member`."""
    made = {name: instantiate(settings[name]) for name in settings}
    for name, part in made.items():
        if not hasattr(part, member):
            raise UserError(f"{group}.{name}: its _target_ makes a {type(part).__name__}, which is not a {group}.")
    return list(made.values())


def follows_monitor(cfg: DictConfig, name: Any) -> bool:
    """Whether a setting of this callback is `${monitor.metric}`."""
    raw = OmegaConf.to_container(cfg, resolve=False)["callback"][name]  # type: ignore[index,call-overload]
    return isinstance(raw, dict) and "${monitor.metric}" in raw.values()


def in_trainer(cfg: DictConfig, key: str) -> list[Any]:
    """Builds the parts that `trainer.callbacks`, `trainer.plugins` or `trainer.logger` adds to the engine's.

    Raises UserError for a CheckpointIO, which would replace AtomicCheckpointIO.
    """
    node = cfg.trainer.get(key)
    made = instantiate(node) if OmegaConf.is_config(node) else []
    made = list(made) if OmegaConf.is_list(node) else [made] if made else []
    for part in made:
        if isinstance(part, CheckpointIO):
            raise UserError(
                f"trainer.{key}: {type(part).__name__} cannot replace the project's own AtomicCheckpointIO "
                "(engine/checkpoints/checkpoint_io.py), which resuming and evaluate.py rely on: leave it out."
            )
    return made


def choose_engine(cfg: DictConfig, network: Any) -> Any:
    """Replaces `features.engine=auto` by what will compute the features of `network`, so that the run's config says it.

    Returns the network.
    """
    features: Any = cfg.get("features")
    if not features or features.get("engine") != "auto":
        return network
    from engine.features.frozen import FrozenBackbone, uses_gpu
    from engine.features.openvino_engine import is_installed

    features.engine = "torch"
    if is_installed() and not uses_gpu(str(cfg.trainer.get("accelerator", "auto"))):
        side = cfg.datamodule.image_size
        try:  # which converts it
            FrozenBackbone(network, "32", engine="openvino", cache_dir=Path(features.cache_dir))(
                torch.zeros(1, 3, side, side)
            )
            features.engine = "openvino"
        except UserError as error:
            logger.warning("%s They are computed by torch.", error)
    return network


def build_features(cfg: DictConfig, datamodule: Any, network: Any) -> Any:
    """Builds `cfg.features`, the cached features that replace the datamodule's photos."""
    from engine.features.frozen import FrozenBackbone

    settings = dict(cfg.features)
    precision = str(settings.pop("precision"))  # a command line's 32 is a number
    backbone = FrozenBackbone(
        network,
        precision,
        str(cfg.trainer.get("accelerator", "auto")),
        engine=settings.pop("engine", "torch"),  # which earlier runs do not name
        cache_dir=Path(settings["cache_dir"]),
    )
    of = f"{backbone.engine} {backbone.precision} {backbone.device}"
    key = {**of_shared(network.backbone, of, lambda: backbone.key), "transforms": transforms_key(cfg.datamodule)}
    return instantiate(settings, photos=datamodule, backbone=backbone, num_features=network.head.in_features, key=key)


def transforms_key(datamodule: DictConfig) -> str:
    """Identifies the photos' transforms by their config and a hash of each class's source file, and of what decodes.

    If the config has no transforms, because the datamodule creates them itself, its whole config is used.
    """
    node: Any = OmegaConf.to_container(datamodule, resolve=True)
    names = [name for name in ("train_transform", "eval_transform") if name in node]
    node = {name: node[name] for name in names} if names else node
    text = OmegaConf.to_yaml(OmegaConf.create(node), sort_keys=True)
    modules = {inspect.getmodule(get_object(target)) for target in re.findall(r"_target_: (\S+)", text)}
    files = sorted(file for module in modules if (file := getattr(module, "__file__", None)))
    files += [str(ROOT / "engine" / "photos" / name) for name in ("decoding.py", "images.py")]
    digests = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    return "\n".join([text, version("torchvision"), *digests])


def network_name(node: Mapping[Any, Any] | None) -> str | None:
    """The network's name in the config group, such as `resnet18`, or with timm's own name, `timm/convnext_tiny`.

    For a network from another package, its class name. None without a network. A member of a family in one module has
    a name that starts with the module's: `efficientnet_lite0`, not `efficientnet_lite/efficientnet_lite0`.
    """
    if not node:
        return None
    names = str(node["_target_"]).split(".")
    name = names[1] if names[0] == "networks" else names[-1]
    own = str(node.get("name", ""))
    return own if own.startswith(name) else f"{name}/{own}" if own else name
