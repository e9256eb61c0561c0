"""What a run's checkpoints say of its data, so that a trained network can be used where the data is not."""

from typing import Any

from omegaconf import DictConfig

from engine.build import network_name


def notices(cfg: DictConfig, source: str) -> list[str]:
    """What must not be overlooked about a run: the lack of real data or of the weights that were asked for."""
    lines = []
    if source == "stand-in":
        lines.append(
            "STAND-IN DATA: drawn by this project, since the real data cannot be had; no figure says anything of it."
        )
    if wanted := cfg.network.get("substitute_for"):
        lines.append(
            f"SUBSTITUTE WEIGHTS: {network_name(cfg.network)} takes the place of {wanted}, whose weights cannot be had."
        )
    return lines


def data_facts(cfg: DictConfig, datamodule: Any) -> dict[str, Any]:
    """Under `data` its name, source and class names, and `input_shape`, that of one input of the network, if known.

    Under `notices` what must not be overlooked (`notices`). All of it is plain containers, for weights_only.
    """
    shape = getattr(datamodule, "input_shape", None)
    return {
        "notices": notices(cfg, datamodule.source),
        "data": {
            "name": datamodule.name,
            "source": datamodule.source,
            "classes": list(getattr(datamodule, "classes", ())),
            "input_shape": None if shape is None else list(shape),
        },
    }
