"""What a run's checkpoints say of its data, so that a trained network can be used where the data is not."""

from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

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
    shape = getattr(datamodule, "input_shape", None) or _shape_in_validation(datamodule)
    return {
        "notices": notices(cfg, datamodule.source),
        "data": {
            "name": datamodule.name,
            "source": datamodule.source,
            "classes": list(getattr(datamodule, "classes", ())),
            "input_shape": None if shape is None else list(shape),
        },
    }


def first_tensor(batch: Any) -> Tensor | None:
    """The inputs of a batch, if that is a tensor or a sequence that starts with one."""
    first = batch[0] if isinstance(batch, list | tuple) and batch else batch
    return first if isinstance(first, Tensor) else None


def _shape_in_validation(datamodule: Any) -> list[int] | None:
    """Of the first input in the validation batches of a plain DataLoader; None if that is not known.

    It reads one item in this process, and leaves the random generators and the DataLoader's workers alone. A stream may
    not be read twice.
    """
    try:
        with isolate_rng():
            loader = datamodule.val_dataloader()
            loader = loader[0] if isinstance(loader, list | tuple) else loader
            if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
                return None
            first = next(iter(loader.batch_sampler or ()))[0]
            inputs = first_tensor(loader.collate_fn([loader.dataset[first]]))
    except Exception:  # no validation, or data that cannot be read: the training itself says so
        return None
    return None if inputs is None else list(inputs.shape[1:])
