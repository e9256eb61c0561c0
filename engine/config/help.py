"""The text of `python train.py --help`."""

import textwrap
from pathlib import Path

from engine.paths import CONF

WIDTH = 100  # columns


def train_help() -> str:
    """Usage, and every experiment with its question, read from the experiments' header comments."""
    return f"""Trains what the config says and writes a run directory, logs/<experiment>/<time>/.

  python train.py experiment=NAME [group=choice | key=value ...]
  python train.py -m experiment=NAME seed=0,1,2            one run per value; see sweep.html
  python train.py -m sweep.resume=DIR                      continue a sweep that was stopped
  python train.py sweep=seeds sweep.n=8 experiment=NAME    mean and 95 % interval over seeds
  python train.py sweep=seeds sweep.n=8 network=A,B        compare networks on the same seeds
  python train.py resume=DIR                               continue a run that was stopped
  python train.py experiment=NAME --cfg job                show the config and stop
  python train.py experiment=NAME debug=fast               one batch of everything

Experiments:
{_experiments()}

Groups:
{_groups()}

Tab completion in bash and zsh:  . ./completion.sh
"""


def _experiments() -> str:
    files = sorted((CONF / "experiment").glob("*.yaml"))
    width = max(len(file.stem) for file in files)
    return "\n".join(_wrapped(f"  {file.stem:<{width}}  ", question(file)) for file in files)


def _groups() -> str:
    """The choices of each group, except experiments, which are listed above, and Hydra's own groups."""
    folders = sorted(path for path in CONF.iterdir() if path.is_dir() and path.name not in ("experiment", "hydra"))
    choices = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}
    return "\n".join(_wrapped(f"  {group}: ", ", ".join(names)) for group, names in choices.items())


def _wrapped(start: str, text: str) -> str:
    """`start` followed by the text, wrapped and continued on indented lines."""
    return textwrap.fill(
        text, WIDTH, initial_indent=start, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False
    )


def question(experiment: Path) -> str:
    """The `# Question:` line of an experiment's header."""
    for line in experiment.read_text(encoding="utf-8").splitlines():
        if line.startswith("# Question:"):
            return line.removeprefix("# Question:").strip()
    return ""
