"""TensorBoard's TEXT tab."""

import json

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger


class RunText(Callback):
    """Writes the resolved config, and what the run lacks (real data, the wanted weights), where anyone will see it."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        texts = {"config": f"```json\n{json.dumps(dict(pl_module.hparams), indent=2, default=str)}\n```"}
        if notices := pl_module.hparams["notices"]:
            texts["notice"] = "\n\n".join(f"**{notice}**" for notice in notices)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for tag, text in texts.items():
                    logger.experiment.add_text(tag, text, global_step=0)
