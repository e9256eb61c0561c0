"""Facts about the data that a run's checkpoints contain, so that the network can be used without the data."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Predicate
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.utilities.model_helpers import is_overridden
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from typing_extensions import TypedDict

from engine.build import network_name
from engine.protocols import Classes, Counts, NamedData
from engine.run.outcome import checked
from engine.wording import warnings_about

MAX_VALUES = 1 << 31
"""In one input of a network, as read from a checkpoint."""


class DataFacts(TypedDict, total=False):
    """What `data_facts` puts into a checkpoint, and `known_facts` reads."""

    name: str
    source: str
    classes: list[str]
    input_shape: Annotated[list[Annotated[int, Ge(0)]], Predicate(lambda shape: prod(shape) < MAX_VALUES)] | None


def notices(cfg: DictConfig, source: str) -> list[str]:
    """Notices that a run does not use real data or the requested weights."""
    node = cfg.get("network") or {}
    wanted = node.get("substitute_for")
    return warnings_about(source, network_name(node) if wanted else None, wanted)


def data_name(datamodule: Any) -> dict[str, str]:
    """The data's name and source; by default the class of the datamodule, and `unknown`."""
    if isinstance(datamodule, NamedData):
        return {"name": datamodule.name, "source": datamodule.source}
    name = "the LightningModule's own" if datamodule is None else type(datamodule).__name__
    return {"name": name, "source": "unknown"}


def counts_of(datamodule: Any) -> dict[str, int]:
    """The number of examples per split; empty if the datamodule does not provide it."""
    return dict(datamodule.counts()) if isinstance(datamodule, Counts) else {}


def classes_of(datamodule: Any) -> list[str]:
    """The class names; empty if the datamodule has none, or something else by that name, such as their number."""
    found = getattr(datamodule, "classes", None)
    return [str(name) for name in found] if isinstance(found, Sequence) and not isinstance(found, str) else []


def set_up_ahead(datamodule: Any) -> Any:
    """Prepares data that describes itself, and returns the datamodule; Lightning prepares any other during training.

    A plain LightningDataModule may need its Trainer in `setup`, and there is none yet.
    """
    if isinstance(datamodule, NamedData | Classes | Counts):
        datamodule.prepare_data()  # type: ignore[union-attr]
        datamodule.setup("fit")  # type: ignore[union-attr]
    return datamodule


def has_test(datamodule: Any, module: LightningModule) -> bool:
    """Whether there are test data (`datamodule.has_test` if it exists) and a `test_step`."""
    loaders = [(datamodule, LightningDataModule), (module, LightningModule)]
    defined = any(is_overridden("test_dataloader", part, parent) for part, parent in loaders if part is not None)
    return bool(getattr(datamodule, "has_test", defined)) and is_overridden("test_step", module, LightningModule)


class KeepConfig(Callback):
    """Stores the config and facts about the data as the module's hyperparameters, and in checkpoints.

    Checkpoints also contain the run's `seconds()` so far. A LightningModule keeps hyperparameters that it has saved
    itself, since it may use them (`self.hparams.optimizer`). Checkpoints only contain plain containers, so that they
    load with weights_only.
    """

    def __init__(self, module: LightningModule, config: dict[str, Any], seconds: Callable[[], float]) -> None:
        self.config, self.seconds = config, seconds
        if not module.hparams:
            module.save_hyperparameters(config, logger=False)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        own = {key: value for key, value in dict(pl_module.hparams).items() if is_plain(value)}
        checkpoint["hyper_parameters"] = own | self.config
        checkpoint["seconds"] = self.seconds()
        checkpoint.pop("hparams_type", None)


def is_plain(value: Any) -> bool:
    """Whether a value consists only of plain containers, numbers and text."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def data_facts(cfg: DictConfig, datamodule: Any) -> dict[str, Any]:
    """`data`: its name, source, class names and, if known, the shape of one input (`input_shape`); and `notices`.

    Everything is in plain containers, for weights_only.
    """
    shape = getattr(datamodule, "input_shape", None) or _shape_in_validation(datamodule)
    return {
        "notices": notices(cfg, data_name(datamodule)["source"]),
        "data": {
            **data_name(datamodule),
            "classes": classes_of(datamodule),
            "input_shape": None if shape is None else list(shape),
        },
    }


def known_facts(checkpoint: Mapping[str, Any], file: Path) -> dict[str, Any] | None:
    """The `data` of `data_facts` in a checkpoint; None if it has none. UserError if it has another form."""
    facts: dict[str, Any] | None = checkpoint.get("hyper_parameters", {}).get("data")
    return None if facts is None else checked(DataFacts, facts, file)


def first_tensor(batch: Any) -> Tensor | None:
    """The inputs of a batch that is a tensor or a sequence starting with one; else None."""
    first = batch[0] if isinstance(batch, list | tuple) and batch else batch
    return first if isinstance(first, Tensor) else None


def _shape_in_validation(datamodule: Any) -> list[int] | None:
    """The shape of the first validation input of a plain DataLoader; None if it is unknown.

    Reads one item in this process, without affecting random generators or the DataLoader's workers. Streams are left
    alone, since they may not be readable twice.
    """
    try:
        with isolate_rng():
            loader = datamodule.val_dataloader()
            loader = loader[0] if isinstance(loader, list | tuple) else loader
            if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
                return None
            first = next(iter(loader.batch_sampler or ()))[0]
            inputs = first_tensor(loader.collate_fn([loader.dataset[first]]))
    except Exception:  # no validation, or unreadable data, which the training reports
        return None
    return None if inputs is None else list(inputs.shape[1:])
