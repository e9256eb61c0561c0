"""TensorBoard's TEXT tab."""

import json
import shlex
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.loggers import tensorboard_loggers
from engine.report.settings import overrides_of


class RunText(Callback):
    """Logs the resolved config, the commands to repeat the run, and notices about stand-in data and weights."""

    follows_chunks = True

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is not None:  # a resumed run has logged them
            return
        texts = {
            "config": f"```json\n{json.dumps(dict(pl_module.hparams), indent=2, default=str)}\n```",
            "reproduce": how_to_repeat(Path(trainer.default_root_dir)),
        }
        if notices := pl_module.hparams.get("notices"):
            texts["notice"] = "\n\n".join(f"**{notice}**" for notice in notices)
        for logger in tensorboard_loggers(trainer):
            for tag, text in texts.items():
                logger.experiment.add_text(tag, text, global_step=0)


def how_to_repeat(run: Path) -> str:
    """The run's original command, from Hydra's records, and a command that repeats it from its config; Markdown."""
    started = shlex.join(["python", "train.py", *overrides_of(run)])
    again = shlex.join(["python", "train.py", "--config-path", str(run.absolute()), "--config-name", "config"])
    return (
        f"Started with\n\n    {started}\n\n"
        f"To repeat it with the same resolved config\n\n    {again} hydra.run.dir=NEW_DIR\n\n"
        "metrics.json has the commit of the project's code and the versions of torch and Lightning."
    )
