"""Parses the `key=value` arguments of every entry point except train.py. Nothing here imports torch."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from engine.errors import UserError
from engine.paths import CONF
from engine.process.startup import begin_script
from engine.run.find import find_run
from engine.wording import nearest

PATHS = ("data_dir", "table", "cache_dir", "index_dir", "run", "input", "output", "contact_sheet", "page", "model")
NEEDED = {"run": "the directory of a run, logs/<experiment>/<time>", "input": "a photo, a folder of photos or a glob"}


def _whole(least: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number, at least {least}", lambda value: type(value) is int and value >= least


IS_TRUTH = "true or false", lambda value: isinstance(value, bool)

KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "calibrate": IS_TRUTH,
    "grad_cam": IS_TRUTH,
    "contact_sheet_photos": _whole(1),
    "batch_size": _whole(1),
    "num_workers": _whole(0),
    "check_inputs": _whole(1),
    "opset": _whole(1),
    "yes": IS_TRUTH,
    "tolerance": ("a number, at least 0", lambda value: type(value) in (int, float) and value >= 0),
    "input_shape": (
        "a list of whole numbers, such as [3,32,32]",
        lambda value: isinstance(value, list) and bool(value) and all(type(v) is int and v > 0 for v in value),
    ),
}
"""A description of each key's valid values and a check for them; all other keys take text."""


@contextmanager
def one_sentence() -> Iterator[None]:
    """Prints a UserError without its traceback and exits with 1."""
    begin_script()
    if sys.argv[1:2] == ["--complete"]:
        from engine.config.completion import answer_completion  # imported only for a shell's completion

        answer_completion()
    try:
        yield
    except UserError as error:
        sys.unraisablehook = lambda _: None  # what a failure left half made cannot be destroyed either
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def read_arguments(tool: str, argv: Sequence[str], *, overrides: bool = False) -> dict[str, Any]:
    """The settings of conf/<tool>.yaml, updated from the command line; `run` becomes the directory of a run.

    With `overrides`, arguments with unknown keys are collected in a list under "overrides", for the run's config.
    `--help` prints the header of the YAML file and exits.

    Raises:
        UserError: an option; an unknown, missing or repeated key; an invalid value; no such run.
    """
    file = CONF / f"{tool}.yaml"
    if not {"--help", "-h"}.isdisjoint(argv):
        lines = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
        print("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines))
        sys.exit()
    settings: Any = OmegaConf.to_container(OmegaConf.load(file))
    own = list(settings)
    given = _split(tool, argv, own)
    others = {key: value for key, value in given.items() if key not in own}
    for key, value in others.items():
        advice = nearest(key, own)
        if not overrides or ("." not in key and advice.startswith("did")):
            raise UserError(f"{key}={value}: {tool}.py has no setting {key}; {advice}")
    for key in own:
        if key in given:
            settings[key] = _value(key, given[key], settings[key])
        elif settings[key] == "???":
            raise UserError(f"Give {key}=…, {NEEDED[key]}.")
    checkpoint = None
    if "run" in own:
        settings["run"], checkpoint = find_run(settings["run"])
    if checkpoint is not None:
        if given.get("checkpoint", checkpoint) != checkpoint:
            raise UserError(
                f"checkpoint={given['checkpoint']}: run={given['run']} names another one: leave one of them out."
            )
        settings["checkpoint"] = checkpoint
    return settings | ({"overrides": [f"{key}={value}" for key, value in others.items()]} if overrides else {})


def split_names(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the arguments into names of runs, with or without `run=`, and the rest. Paths may contain `=`."""
    names, others = [], []
    for argument in argv:
        key, equals, value = argument.partition("=")
        is_name = not argument.startswith("-") and (not equals or "/" in key or Path(argument).exists())
        if is_name or (key == "run" and value):
            names.append(argument if is_name else value)
        else:
            others.append(argument)
    return names, others


def _split(tool: str, argv: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """The `key=value` arguments as a dictionary."""
    given: dict[str, str] = {}
    for position, argument in enumerate(argv):
        key, equals, value = argument.partition("=")
        if argument.startswith("-"):
            name = key.lstrip("-").replace("-", "_")
            value = value or next(iter(argv[position + 1 : position + 2]), "")
            known = name in own and value
            advice = f"write {name}={value}, without dashes" if known else f"{tool}.py takes key=value, and --help"
            raise UserError(f"{argument}: {advice}.")
        if argument.startswith("=") or (position + 1 < len(argv) and argv[position + 1] == "="):
            raise UserError(f"{argument}: leave out the spaces around =.")
        if not equals:
            wanted = next((name for name in NEEDED if name in own and not given), None)
            hint = "quote a value that has spaces, 'key=a b'; for several photos give a folder or a quoted glob."
            raise UserError(f"{argument} is not key=value; {f'did you mean {wanted}={argument}?' if wanted else hint}")
        if key in given:
            raise UserError(f"{key} is given twice: {key}={given[key]} and {argument}.")
        given[key] = value
    return given


def _value(key: str, text: str, default: Any) -> Any:
    """Converts the text on the command line to a setting's value."""
    if text == "null" and default is None:
        return None
    if not text:
        raise UserError(f"{key}= has no value{f': give {NEEDED[key]}' if key in NEEDED else ''}.")
    if key in PATHS:
        return os.path.expanduser(unquoted_path(text))  # noqa: PTH111 (which raises on "~nobody")
    if key not in KINDS:
        return text
    meaning, fits = KINDS[key]
    try:
        value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[call-overload,index]
    except (yaml.YAMLError, ValueError):
        value = None
    if not fits(value):
        raise UserError(f"{key}={text}: must be {meaning}.")
    return value


def quoted(value: object) -> str:
    """Quotes any text for the grammars of Hydra and OmegaConf, including backslashes before `"` and `${`."""
    text = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", str(value))
    text = re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + (r"\"" if found[2] else ""), text)
    return f'"{text}"'


def unquoted(text: str) -> str:
    """Reverses `quoted`, and the same with single quotes; any other text is returned unchanged."""
    quote = text[:1]
    if len(text) < 2 or quote not in "\"'" or not text.endswith(quote):
        return text
    text = text[1:-1]
    for ending in (rf"{quote}|\Z", r"\$\{"):
        text = re.sub(rf"(\\+)({ending})", lambda found: found[1][: len(found[1]) // 2] + found[2], text)
    return text


def unquoted_path(text: str) -> str:
    """The path in quotes, as Hydra's grammar has them, unless they are part of a name that exists."""
    return text if os.path.lexists(text) else unquoted(text)
