"""Tab completion for completion.sh: candidates for the last word. Nothing here imports torch."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import yaml

from engine.paths import CONF
from engine.run.find import LOGS, runs_below

RUNS = ("run", "resume", "init_from")
"""Keys whose values name a run."""

CHOICES = re.compile(r"\S+: .*?# (\w+(?: \| \w+)+)")
"""A line of conf/<tool>.yaml whose comment starts with the choices."""


def answer_completion(main: Callable[[], object] | None = None) -> None:
    """Prints the completions of the last word of `--complete WORD …`, one per line, and exits; else does nothing.

    `main` is train.py's main function, whose keys and choices Hydra completes.
    """
    if sys.argv[1:2] != ["--complete"]:
        return
    words = sys.argv[2:] or [""]
    tool = Path(sys.argv[0]).stem
    found = _runs(tool, words[-1]) if main else [*_runs(tool, words[-1]), *_keys(tool, words[-1])]
    if main and not found and not re.search(r"=[./~]", words[-1]):  # the shell completes paths
        found = _asked_of_hydra(main, words)
    print("\n".join(dict.fromkeys(text for text in found if text.startswith(words[-1]))))
    sys.exit()


def _runs(tool: str, word: str) -> list[str]:
    """`run=last` and the runs in logs/; compare.py takes them without `run=`."""
    key, equals, _ = word.partition("=")
    if not (key in RUNS if equals else tool == "compare"):
        return []
    runs = [str(run.relative_to(LOGS)) for run in runs_below(LOGS)]
    return [f"{key}={name}" if equals else name for name in ("last", *runs)]


def _keys(tool: str, word: str) -> Iterator[str]:
    """The keys of conf/<tool>.yaml, or the choices for one of them."""
    text = (CONF / f"{tool}.yaml").read_text(encoding="utf-8")
    key, equals, _ = word.partition("=")
    settings = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not equals:
        yield from (f"{name}=" for name in settings)
    elif isinstance(settings.get(key), bool):
        yield from (f"{key}=true", f"{key}=false")
    else:
        lines = (line for line in text.splitlines() if line.startswith(f"{key}: "))
        yield from (f"{key}={choice}" for line in lines if (m := CHOICES.match(line)) for choice in m[1].split(" | "))


def _asked_of_hydra(main: Callable[[], object], words: Sequence[str]) -> list[str]:
    os.environ["COMP_LINE"] = " ".join(["python", "train.py", *words])
    sys.argv[1:] = ["-sc", "query=bash"]
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(Exception, SystemExit):
        main()
    return output.getvalue().split()
