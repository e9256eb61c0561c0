import re
from typing import Any

from pytorch_lightning import loggers


class WandbLogger(loggers.WandbLogger):
    """Lightning's, but each run has one of its own at Weights & Biases, even if a sweep has several in one process.

    What a project's name must not hold there becomes a dash.
    """

    def __init__(self, *, project: str, **settings: Any) -> None:
        super().__init__(project=re.sub(r"[/\\#?%:]", "-", project), **settings)
        import wandb  # an extra, which is there: Lightning has looked

        wandb.finish()  # the process's last one, if there is one: Lightning would go on with that
