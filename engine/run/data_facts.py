"""What a run's checkpoints say of its data, so that a trained network can be used where the data is not."""

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.utilities.model_helpers import is_overridden
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from engine.build import network_name
from engine.protocols import Classes, Counts, NamedData
from engine.wording import warnings_about


def notices(cfg: DictConfig, source: str) -> list[str]:
    """What must not be overlooked about a run: the lack of real data or of the weights that were asked for."""
    node = cfg.get("network") or {}
    wanted = node.get("substitute_for")
    return warnings_about(source, network_name(node) if wanted else None, wanted)


def data_name(datamodule: Any) -> dict[str, str]:
    """Name and source of the data; of a datamodule that does not say them, its class and `unknown`."""
    if isinstance(datamodule, NamedData):
        return {"name": datamodule.name, "source": datamodule.source}
    name = "the LightningModule's own" if datamodule is None else type(datamodule).__name__
    return {"name": name, "source": "unknown"}


def counts_of(datamodule: Any) -> dict[str, int]:
    """The number of examples per split; empty for a datamodule that does not say."""
    return dict(datamodule.counts()) if isinstance(datamodule, Counts) else {}


def set_up_ahead(datamodule: Any) -> Any:
    """Prepares data that describes itself, and returns the datamodule; Lightning prepares any other during training.

    A plain LightningDataModule may look at its Trainer in `setup`, and there is none yet.
    """
    if isinstance(datamodule, NamedData | Classes | Counts):
        datamodule.prepare_data()  # type: ignore[union-attr]
        datamodule.setup("fit")  # type: ignore[union-attr]
    return datamodule


def has_test(datamodule: Any, module: LightningModule) -> bool:
    """Whether there is a test: test data, of which a datamodule may say whether it has any, and `test_step`."""
    loaders = [(datamodule, LightningDataModule), (module, LightningModule)]
    defined = any(is_overridden("test_dataloader", part, parent) for part, parent in loaders if part is not None)
    return bool(getattr(datamodule, "has_test", defined)) and is_overridden("test_step", module, LightningModule)


class KeepConfig(Callback):
    """The run's config and what is known of its data, as the hyperparameters of the module and in its checkpoints.

    Its checkpoints also have the `seconds()` that the run has taken. A LightningModule that has saved hyperparameters
    of its own keeps them: it may use them (`self.hparams.optimizer`).
    Checkpoints have plain containers alone, so that they load with weights_only.
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
    """Whether a value consists of plain containers, numbers and text."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def data_facts(cfg: DictConfig, datamodule: Any) -> dict[str, Any]:
    """Under `data` its name, source and class names, and `input_shape`, that of one input of the network, if known.

    Under `notices` what must not be overlooked (`notices`). All of it is plain containers, for weights_only.
    """
    shape = getattr(datamodule, "input_shape", None) or _shape_in_validation(datamodule)
    return {
        "notices": notices(cfg, data_name(datamodule)["source"]),
        "data": {
            **data_name(datamodule),
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
