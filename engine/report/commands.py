"""The commands of a page: how the run was started, and what can be done with it."""

import shlex
from pathlib import Path
from typing import Any

import yaml

from engine.config.sweep_job import is_about_the_sweep, key_of
from engine.paths import CONF, typed
from engine.report.facts import Facts


def started(facts: Facts) -> str:
    """The command that started the run, or one that repeats it from its config, as that of a run that was repeated."""
    if facts.name != default_experiment() and not {"experiment", "name"} & set(map(key_of, facts.overrides)):
        return again(facts)
    options = [word for folder in facts.config_dirs[:1] for word in ("--config-dir", folder)]
    given = [override for override in facts.overrides if not is_about_the_sweep(override)]
    return shlex.join(["python", "train.py", *options, *given])


def again(facts: Facts) -> str:
    folder = str(facts.directory.absolute())
    command = shlex.join(["python", "train.py", "--config-path", folder, "--config-name", "config"])
    return f"{command} hydra.run.dir=NEW_DIR"


def default_experiment() -> Any:
    """That of conf/train.yaml."""
    content = yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8"))
    return next(choice["experiment"] for choice in content["defaults"] if "experiment" in choice)


def commands(facts: Facts) -> list[tuple[str, str]]:
    """Those that work for this run, from the folder in which the page was written."""
    directory, checkpoints = typed(facts.directory), Path(facts.directory, "checkpoints")
    lines = [("Repeat", started(facts))]
    if started(facts) != again(facts):
        lines.append(("Repeat from its config, whatever the experiment has become", again(facts)))
    if (checkpoints / "last.ckpt").is_file():
        lines.append(("Resume; add trainer.max_epochs=N to train longer", f"python train.py resume={directory}"))
    if (checkpoints / "best.ckpt").is_file():
        lines.append(("Evaluate", f"python evaluate.py run={directory}"))
        if facts.classes:
            lines.append(("Predict", f"python predict.py run={directory} input=PHOTOS"))
    return [*lines, ("Write this page again", f"python report.py run={directory}")]
