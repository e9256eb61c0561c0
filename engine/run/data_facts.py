"""What a run's checkpoints say of its data, so that a trained network can be used where the data is not."""

from typing import Any

from omegaconf import DictConfig

from engine.terminal.panels import notices


def data_facts(cfg: DictConfig, datamodule: Any) -> dict[str, Any]:
    """Under `data` its name, source and class names, and `input_shape`, that of one input of the network, if known.

    Under `notices` what must not be overlooked (report.py). All of it is plain containers, for weights_only.
    """
    shape = _input_shape(datamodule)
    return {
        "notices": notices(cfg, datamodule.source),
        "data": {
            "name": datamodule.name,
            "source": datamodule.source,
            "classes": list(getattr(datamodule, "classes", ())),
            "input_shape": None if shape is None else list(shape),
        },
    }


def _input_shape(datamodule: Any) -> tuple[int, ...] | None:
    if hasattr(datamodule, "image_size"):  # image_folder.py
        return (3, datamodule.image_size, datamodule.image_size)
    if hasattr(datamodule, "splits"):  # in_memory.py
        return tuple(datamodule.splits["train"][0].shape[1:])
    if hasattr(datamodule, "batch"):  # regression.py
        return tuple(datamodule.batch[0].shape[1:])
    return None
