"""Loads a trained run from its directory alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from engine.build import build_module, build_network, configured
from engine.checkpoints.architecture import load_weights
from engine.checkpoints.checkpoint_io import load_checkpoint, previous
from engine.errors import UserError
from engine.run.config_file import has_features, register_stored_resolvers
from engine.run.data_facts import known_facts
from engine.run.failure import sentence
from engine.run.trust.stored_config import read_run_config

PREFIX = "network."
CHECKPOINTS = ("best", "last")
NOT_MADE = ("logger", "callback")
"""Config groups that are only built for training."""


@dataclass(frozen=True)
class Trained:
    """A run's directory, config, and the content of one of its checkpoints (best or last)."""

    directory: Path
    config: DictConfig
    checkpoint: str
    content: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """Facts about the run's data (engine/run/data_facts.py)."""
        facts = known_facts(self.content, self.directory / "checkpoints" / f"{self.checkpoint}.ckpt")
        if facts is None:
            raise UserError(
                f"run={self.directory}: its checkpoints do not name its data's classes, since an older version of "
                "this project wrote them: train it again."
            )
        return facts

    @property
    def notices(self) -> list[str]:
        """Notices that the run did not use real data or the requested weights."""
        notices = self.content["hyper_parameters"].get("notices")
        return [str(notice) for notice in notices] if isinstance(notices, list) else []

    @property
    def has_features(self) -> bool:
        """See engine/run/config_file.py."""
        return has_features(self.config)

    @property
    def network_config(self) -> DictConfig:
        """The network's config; that of the lightning_module if it brings its own network."""
        node: DictConfig = self.config.get("network") or self.config.lightning_module
        return node

    def build_network(self) -> nn.Module:
        """The network, or the lightning_module that brings its own, without the checkpoint's weights."""
        with _of_the_config(self.directory):
            network = build_network(self.config, self.directory / "checkpoints")
            if network is None:
                network = configured(build_module(self.config, None, init=None))
        return network

    def load_network(self) -> nn.Module:
        """What `build_network` returns with the checkpoint's weights, on the CPU and in eval mode."""
        network = self.build_network()
        prefix = PREFIX if self.config.get("network") else ""
        state = self.content["state_dict"]
        weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        _load_weights(network, weights, "backbone.", self.directory)
        return network.eval()

    def load_module(self) -> Any:
        """The lightning_module, on the CPU and in eval mode, with the checkpoint's weights."""
        with _of_the_config(self.directory):
            network = build_network(self.config, self.directory / "checkpoints")
            # `init` would overwrite the frozen backbone's weights.
            module = configured(build_module(self.config, network, init=None))
        _load_weights(module, self.content["state_dict"], f"{PREFIX}backbone.", self.directory)
        return module.eval()


@contextmanager
def _of_the_config(directory: Path) -> Iterator[None]:
    """Turns errors of constructors into UserErrors: when the run was trained, its config had no mistakes."""
    try:
        yield
    except InstantiationException as error:
        if told := sentence(error):
            raise UserError(told) from error
        cause = error.__cause__ or error
        text = f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        raise UserError(f"{directory / 'config.yaml'} is of another version, or was modified: {text}") from error


def _load_weights(module: nn.Module, weights: dict[str, Tensor], backbone: str, directory: Path) -> None:
    """Loads a module's weights. A frozen backbone has its own file, and its weights are already in the module.

    UserError with their names if weights are missing, or have no place; none are left random.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in weights]
    file = directory / "checkpoints" / "backbone.ckpt"
    if file.is_file():
        missing = [name for name in missing if not name.startswith(backbone)]
    elif missing and all(name.startswith(backbone) for name in missing):
        raise UserError(f"{file} is missing: without it the run's frozen backbone has no weights.")
    if missing:
        raise UserError(f"The checkpoint in {directory} lacks {', '.join(missing[:4])}{', …' * (len(missing) > 4)}.")
    if spare := [name for name in weights if name not in own]:  # torch passes over those of a submodule that is None
        named = f"{', '.join(spare[:4])}{', …' * (len(spare) > 4)}"
        raise UserError(f"The checkpoint in {directory} has {named}, and {type(module).__name__} has no such weights.")
    load_weights(module, {name: own[name] for name in own if name not in weights} | weights)


def load_trained(directory: Path, checkpoint: str, overrides: Sequence[str] = ()) -> Trained:
    """Loads the run in `directory`, with its config changed by `overrides` (`key=value`).

    UserError if there is no run, no such checkpoint, or no such key.
    """
    file = directory / "checkpoints" / f"{checkpoint}.ckpt"
    if checkpoint not in CHECKPOINTS and not (file.is_file() and Path(checkpoint).name == checkpoint):
        raise UserError(f"checkpoint={checkpoint}: choose from {', '.join(CHECKPOINTS)}.")
    config = load_config(directory)
    for override in overrides:
        _override(config, override)
    if not (file.is_file() or previous(file).is_file()):
        kept = [name for name in CHECKPOINTS if (file.parent / f"{name}.ckpt").is_file()]
        advice = f"give checkpoint={kept[0]}" if kept else "it kept none"
        raise UserError(f"run={directory} has no checkpoints/{file.name}: {advice}.")
    content = load_checkpoint(file, parts=("state_dict", "hyper_parameters", "epoch"))
    return Trained(directory, config, checkpoint, content)


def load_config(directory: Path) -> DictConfig:
    """The run's config, with its current directory. UserError if the directory holds no run.

    `datamodule` is empty if the LightningModule has its own data.
    """
    config = read_run_config(directory, f"run={directory}", replaced=NOT_MADE)
    if missing := [part for part in ("lightning_module", "trainer") if not OmegaConf.is_dict(config.get(part))]:
        raise UserError(f"{directory / 'config.yaml'} is not a run's config: it has no {' and no '.join(missing)}.")
    register_stored_resolvers()
    config.datamodule = config.get("datamodule") or {}
    config.run_dir = str(directory.absolute())
    return config


def _override(config: DictConfig, override: str) -> None:
    """Changes an existing value. A group's choice cannot be changed, since the config only has its settings."""
    key, _, text = override.partition("=")
    missing = object()
    before = OmegaConf.select(config, key, default=missing)
    if before is missing:
        raise UserError(f"{override}: the run's config.yaml has no {key}.")
    if isinstance(before, DictConfig):
        raise UserError(
            f"{override}: {key} is a group of settings; change one of them, such as {key}.{next(iter(before))!s}."
        )
    # Text remains text: a folder may be called 123 or null.
    value = text if isinstance(before, str) else OmegaConf.select(OmegaConf.from_dotlist([override]), key)
    OmegaConf.update(config, key, value)
