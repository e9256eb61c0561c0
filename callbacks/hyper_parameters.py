"""TensorBoard's HPARAMS tab."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from engine.loggers.curve_files import name_of, tag_of

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


class HyperParameters(Callback):
    """Logs a run's settings and the best value of `metric` so far, as the scalar `best/<metric>`.

    Settings are logged when training starts and the metric after each validation, so interrupted runs appear, too.
    In a sweep, HPARAMS shows the swept settings (`swept`) next to the metric and the losses; for a single run, nothing.
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
        losses = ["val/loss"] * trainer.enable_validation + ["train/loss"]  # avoids an empty column
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for summary in summaries(self.swept, [self.tag, self.metric, *losses]) if self.swept else ():
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


def summaries(swept: Mapping[str, Any], metrics: Iterable[str]) -> list[Summary]:
    """The summaries that HPARAMS reads for a job: the columns of its sweep, and the job's own values."""
    settings = {key: "null" if value is None else value for key, value in swept.items()}
    # The third summary, the metrics' values, is left out: they would be the first points of the curves.
    experiment, session, _ = hparams(
        settings, {tag_of(name, (), apart=False)[1]: 0.0 for name in dict.fromkeys(metrics)}
    )
    metadata = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(metadata.content)
    for info in content.experiment.hparam_infos:
        info.differs = True  # else TensorBoard would hide it
    for info in content.experiment.metric_infos:
        info.display_name = name_of("", info.name.tag)
    metadata.content = content.SerializeToString()
    return [experiment, session]


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
