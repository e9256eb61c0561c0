"""TensorBoard's CUSTOM SCALARS tab."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.loggers import tensorboard_loggers
from engine.training.accounted_module import AccountedModule

Layout = dict[str, dict[str, list[Any]]]


class Charts(Callback):
    """Draws training and validation in the same charts, and groups the other curves."""

    follows_chunks = True

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is None and isinstance(pl_module, AccountedModule):
            for logger in tensorboard_loggers(trainer):
                logger.experiment.add_custom_scalars(layout(pl_module))


def layout(module: Any) -> Layout:
    """Groups of charts; each chart is given by a regular expression for its curves' names."""
    names = [name.partition("/")[2] for split in ("train", "val") for name in module.metrics(split) or ()]
    overall = ["loss", *(name for name in names if not name.endswith("_"))]
    return {
        "training and validation": {name: ["Multiline", [f"(train|val)/{name}$"]] for name in overall},
        "each class": {name[:-1]: ["Multiline", [f"val/{name}"]] for name in names if name.endswith("_")},
        "optimization": {
            "learning rate": ["Multiline", ["train/lr"]],
            "gradient norm": ["Multiline", ["train/grad_norm"]],
            "images per second": ["Multiline", ["train/images_per_second"]],
        },
    }
