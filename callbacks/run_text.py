"""TensorBoard's TEXT tab."""

import json
import shlex
from pathlib import Path

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.loggers import tensorboard_loggers


class RunText(Callback):
    """Writes the resolved config, how to repeat the run, and what it lacks (real data, the wanted weights)."""

    follows_chunks = True

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is not None:  # they are there already
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
    """The command that started the run, where Hydra noted it, and one that repeats it from its directory; Markdown."""
    noted = run / ".hydra" / "overrides.yaml"
    overrides = yaml.safe_load(noted.read_text(encoding="utf-8")) if noted.is_file() else []
    overrides = [text for text in overrides or () if isinstance(text, str)]
    started = shlex.join(["python", "train.py", *overrides])
    again = shlex.join(["python", "train.py", "--config-path", str(run.absolute()), "--config-name", "config"])
    return (
        f"Started by\n\n    {started}\n\n"
        f"The same again, every value as it was resolved\n\n    {again} hydra.run.dir=NEW_DIR\n\n"
        "The commit of the project's code and the versions of torch and Lightning are in metrics.json."
    )
