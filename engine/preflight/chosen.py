"""The choices of config groups on the command line, and the settings that the experiment makes for other choices."""

from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig

from engine.paths import CONF
from engine.run.config_file import given


def choice(group: str) -> str | None:
    """`lenet` for the group `network`; None if nothing was chosen, as in a resumed run."""
    if not HydraConfig.initialized():
        return None
    name = HydraConfig.get().runtime.choices.get(group)
    return name if isinstance(name, str) else None


def is_given(key: str) -> bool:
    """Whether an override on the command line sets this key or chooses this group."""
    overrides = given(HydraConfig.get()) if HydraConfig.initialized() else ()
    return any(text.lstrip("+~").partition("=")[0] == key for text in overrides)


def meant_for(path: str, key: str, group: str | None = None) -> tuple[Path, str] | None:
    """The experiment's file and its own choice of a group, if it sets `path.key` for that and the user chose another.

    `network.in_channels` of `experiment=lenet_nll network=resnet18` is meant for `lenet`. The group is that of `path`
    unless another one is given.
    """
    experiment, group = choice("experiment"), group or path.partition(".")[0]
    if experiment is None or not is_given(group) or is_given(f"{path}.{key}"):
        return None
    folders = [Path(source.path) for source in HydraConfig.get().runtime.config_sources if source.schema == "file"]
    file = next((f for folder in folders if (f := folder / "experiment" / f"{experiment}.yaml").is_file()), None)
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
    settings = content
    for part in path.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    if file is None or not isinstance(settings, dict) or key not in settings:
        return None
    own = {name.removeprefix("override /"): value for name, value in _chosen_in(content).items()}
    choices = chosen_in_train() | own
    return (file, str(choices[group])) if group in choices else None


def chosen_in_train() -> dict[str, Any]:
    """The choices in the defaults list of conf/train.yaml by group, in their order."""
    return _chosen_in(yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8")))


def _chosen_in(content: Any) -> dict[str, Any]:
    entries = (entry for entry in content.get("defaults") or () if isinstance(entry, dict))
    return {name: value for entry in entries for name, value in entry.items()}
