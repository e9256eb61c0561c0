import re
from typing import Any

from pytorch_lightning import loggers


class WandbLogger(loggers.WandbLogger):
    """Lightning's WandbLogger, but with a separate W&B run for each run, even for several runs in one process.

    Characters that are not allowed in W&B project names become dashes.
    """

    def __init__(self, *, project: str, **settings: Any) -> None:
        super().__init__(project=re.sub(r"[/\\#?%:]", "-", project), **settings)
        import wandb  # an optional dependency; Lightning has checked that it is installed

        wandb.finish()  # else Lightning would continue the process's previous W&B run
