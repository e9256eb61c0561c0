"""Checks texts in a config or a sweep's arguments for paths outside the run directory. Nothing here imports torch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString
from hydra.errors import HydraException

from engine.errors import UserError
from engine.paths import CONF, is_place
from engine.run.config_file import is_linked
from engine.wording import shown

PLACES = ("data_dir", "table", "cache_dir", "index_dir", "resume", "init_from")
"""Keys whose values may be outside the run directory, for reading or for caches."""

OWN = re.compile(r"([A-Za-z][\w+.-]*:/{0,3})?\$\{run_dir\}(/|$)")
"""A path in the run directory, or a URL with one."""

DATABASE = re.compile(r"sqlite:///\w[\w-]*\.db")
"""A database in the current folder (conf/logger/mlflow.yaml)."""

WRITES = re.compile(
    r"(?<!sub_)dir$|dirpath$|directory$|_ur[il]$|(save|log|output|out|artifact|store|root)_(path|file|folder|location)$"
)
"""Endings of keys that set where something is written; a `sub_dir` is within one of those."""

POSITIONAL = re.compile(r"(logger|callback|trainer)\b.*\b_args_\[\d+\]")
"""Positional arguments of parts that write: no key says what they are."""

MAX_ARGUMENT, MAX_NESTING = 100_000, 20
"""Characters and nested brackets of a sweep's argument; Hydra's grammar is slow on more."""

CREDENTIAL = re.compile(r"(^|_)(api_?key|api_?token|token|password|secret)$", re.IGNORECASE)
"""Endings of keys that set the account under which something is sent."""

FIELD = re.compile(r"\{([^{}]*)\}")
NESTED = re.compile(r"\{[^{}]*:[^{}]*\{")
"""A format that is made of another field's value."""

NUMBER_FORMAT = re.compile(r"[-+ ]?#?0?\d{0,3}[,_]?(\.\d{1,3})?[bdeEfFgGnoxX%]?")
"""Format specifications in file names that only produce digits, signs and points."""


def refused_place(value: str, key: str, places: tuple[str, ...] = PLACES) -> str | None:
    """Why a value, with its links resolved except `${run_dir}`, is refused, as the end of a sentence; else None."""
    if re.fullmatch(r"name|notes|tags\[\d+\]", key):  # free text, never used as a path
        return None
    if reason := _refused_format(value):
        return reason
    name = key.rpartition(".")[2]
    if CREDENTIAL.search(name):
        return "would send what the run logs to another account: leave it out, or give it on the command line."
    if POSITIONAL.match(key):
        return "could be a place: give it under its name on the command line."
    if name in places or DATABASE.fullmatch(value):
        return None
    inside = OWN.match(value)
    rest = value[inside.end() :].replace("${run_dir}", "") if inside else value
    if is_place(rest) or is_place(unquote(rest)):  # in an address, %2e is a point
        return "may lead out of the run directory: give it on the command line."
    if WRITES.search(name) and not inside:  # an empty path is the current folder
        return "is not in the run directory: give it on the command line."
    return None


def _refused_format(text: str) -> str | None:
    """Refuses formats that could produce a path: `{step:c}` may be a slash, and `{../x}` contains one."""
    if NESTED.search(text):
        return "contains a format that could name any file."
    for field in FIELD.findall(text):
        name, _, form = field.partition(":")
        if (
            (":" in field and not NUMBER_FORMAT.fullmatch(form))
            or re.search(r"![rsa]$|\.\.", name)
            or name.startswith("/")
        ):
            return "contains a format that could name any file."
    return None


def check_arguments(arguments: Sequence[str], file: Path) -> None:
    """UserError if an argument of a sweep, as recorded in `file`, could name code or places."""
    for argument in arguments:
        key, _, value = argument.lstrip("+~").partition("=")
        group, _, package = key.partition("@")
        is_hydras = re.match(r"hydra\b", key) and not (
            re.fullmatch(r"hydra\.((launcher|sweeper)(\.\w+)+|verbose)", key)
            and re.fullmatch(r"\d+(\.\d+)?|true|false|null", value)
        )
        is_group = "." not in group and (CONF / group).is_dir()
        if len(argument) > MAX_ARGUMENT or _nesting(argument) > MAX_NESTING or package.startswith("hydra"):
            refused = True
        elif "/" in group or is_group:  # a group, whose choices are files
            refused = not re.fullmatch(r"([\w,\[\] -]|(?<=\w)/(?=\w))*", value)
        else:
            refused = is_hydras or "_target_" in argument or not _is_plain(argument, key)
        if refused:
            raise UserError(f"{file}: {shown(argument)} could name code or places: give it on the command line.")


def _nesting(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        deepest = max(depth, deepest)
    return deepest


def _is_plain(argument: str, key: str) -> bool:
    """Whether no text in an override's value, as unescaped by Hydra, is a path or URL."""
    try:
        value = OverridesParser.create().parse_override(argument).value()
    except (HydraException, ValueError):  # a number with too many digits
        return False
    return all(("${" not in text or is_linked(text)) and refused_place(text, key) is None for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str | QuotedString):
        yield str(getattr(value, "text", value))
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts(list(pair))
    elif isinstance(value, list | tuple):
        for element in value:
            yield from _texts(element)
    elif isinstance(value, ChoiceSweep):
        yield from _texts(value.list)
    elif isinstance(value, Glob):
        yield from _texts([*value.include, *value.exclude])
