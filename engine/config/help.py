"""What `python train.py --help` prints."""

from pathlib import Path

from engine.paths import CONF


def train_help() -> str:
    """Usage, and every experiment with its question, read from the experiments' header comments."""
    return f"""Trains what the config says and writes a run directory, logs/<experiment>/<time>/.

  python train.py experiment=NAME [group=choice | key=value ...]
  python train.py -m experiment=NAME seed=0,1,2              one run for each value; sweep.csv and sweep.html tell all
  python train.py -m sweep.resume=DIR                        continue a sweep that was stopped
  python train.py sweep=seeds sweep.n=8 experiment=NAME      mean and 95 % interval over seeds
  python train.py sweep=seeds sweep.n=8 network=A,B          compare two networks (or experiments, …) on the same seeds
  python train.py resume=DIR                                 continue a run that was stopped
  python train.py experiment=NAME --cfg job                  show the config and stop
  python train.py experiment=NAME debug=fast                 one batch of everything

Experiments:
{_experiments()}

Groups:
{_groups()}

Tab completion in bash and zsh:  . ./completion.sh
"""


def _experiments() -> str:
    files = sorted((CONF / "experiment").glob("*.yaml"))
    width = max(len(file.stem) for file in files)
    return "\n".join(f"  {file.stem:<{width}}  {question(file)}" for file in files)


def _groups() -> str:
    """Each group's choices but for the experiments, which stand above, and Hydra's own."""
    folders = sorted(path for path in CONF.iterdir() if path.is_dir() and path.name not in ("experiment", "hydra"))
    choices = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}
    return "\n".join(f"  {group}: {', '.join(names)}" for group, names in choices.items())


def question(experiment: Path) -> str:
    """The `# Question:` line of an experiment's header."""
    for line in experiment.read_text(encoding="utf-8").splitlines():
        if line.startswith("# Question:"):
            return line.removeprefix("# Question:").strip()
    return ""
