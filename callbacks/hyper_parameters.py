"""TensorBoard's HPARAMS tab."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

GROUPS = ("seed", "datamodule", "network", "loss", "lightning_module", "optimizer", "scheduler", "features")
# How data is loaded and transformed: too long for a table, and in config.yaml anyway.
LEFT_OUT = (
    "_partial_",
    "data_dir",
    "cache_dir",
    "num_workers",
    "worker_timeout",
    "max_pixels",
    "keep_decoded",
    "train_transform",
    "eval_transform",
)

# Shown if nothing is swept.
SHOWN = ("network", "datamodule", "optimizer", "optimizer.lr", "seed")


class HyperParameters(Callback):
    """Logs a run's settings and the best value of `metric` so far, as the scalar `best/<metric>`.

    Settings are logged when training starts and the metric after each validation, so interrupted runs appear, too. The
    visible columns are the keys that a sweep varies (`swept`), or SHOWN without a sweep.
    """

    follows_chunks = True

    def __init__(self, *, metric: str, mode: Literal["max", "min"], swept: Mapping[str, Any]) -> None:
        self.metric = metric
        self.swept = swept
        self.better = max if mode == "max" else min
        self.best: float | None = None

    @property
    def tag(self) -> str:
        return f"best/{self.metric}"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:  # the other processes' loggers have no writer
            return
        if "trainer" not in pl_module.hparams:  # the module's own hparams, not the run's config
            return
        settings = flatten({group: pl_module.hparams[group] for group in GROUPS if group in pl_module.hparams})
        settings |= {f"trainer.{key}": pl_module.hparams["trainer"][key] for key in ("precision", "max_epochs")}
        settings |= {key: "null" if value is None else value for key, value in self.swept.items()}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                # The third summary, the metric's value, is left out: it would be the first point of the curve.
                experiment, *session = hparams(settings, {self.tag: 0.0})
                for summary in (put_first(experiment, self.swept or SHOWN), *session):
                    logger.experiment._get_file_writer().add_summary(summary)
            else:
                logger.log_hyperparams(settings)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = trainer.callback_metrics.get(self.metric)
        if value is None or trainer.sanity_checking:
            return
        self.best = float(value) if self.best is None else self.better(self.best, float(value))
        for logger in trainer.loggers:
            logger.log_metrics({self.tag: self.best}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def put_first(experiment: Summary, keys: Collection[str]) -> Summary:
    """Marks only these settings as differing between runs, so TensorBoard shows them by default."""
    metadata = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(metadata.content)
    for info in content.experiment.hparam_infos:
        info.differs = info.name in keys
    metadata.content = content.SerializeToString()
    return experiment


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """`{"optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1}}` as `{"optimizer": "SGD", "optimizer.lr": 0.1}`.

    Lists become text, as HPARAMS requires; None is omitted.
    """
    flat: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if key in LEFT_OUT or value is None:
            continue
        if key == "_target_":
            flat[prefix.rstrip(".")] = value.rpartition(".")[2]
        elif isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
