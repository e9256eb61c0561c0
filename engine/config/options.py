"""Prepares train.py's command line for Hydra: options first, every value in Hydra's grammar."""

import os
import re
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from engine.config.arguments import quoted
from engine.errors import UserError
from engine.paths import CONF
from engine.wording import nearest

LISTS = ("logger", "callback")
"""Groups that accept several choices, or none."""

REPLACED = {"hydra/launcher": "launcher", "hydra/sweeper": "sweep"}
"""Hydra's groups, and the project's groups that replace them."""

NONE = ("null", "none", "None", "false", "False")

NAMES = ("data_dir", "table", "cache_dir", "index_dir", "name")
"""Keys whose values are names: a folder may be called 2024, yes or null."""

ODD = re.compile(r"[^\w./:+\-$%\\*@?|\[\]{},'\"~]", re.ASCII)
"""Characters that Hydra's grammar accepts only in quotes or in its functions."""


def options_first(argv: Sequence[str]) -> list[str]:
    """Moves options before overrides: Hydra needs all overrides in one block, and Lightning appends some at the end.

    Raises UserError for an unknown option, which may be a key of the config.
    """
    known = {name: action.nargs != 0 for action in get_args_parser()._actions for name in action.option_strings}
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(argv)
    for argument in rest:
        name, given, _ = argument.partition("=")
        if not argument.startswith("-"):
            overrides.append(argument)
        elif name not in known:
            raise UserError(f"{argument}: {_without_dashes(argument, next(rest, ''))}.")
        else:
            options += [argument, *([next(rest, "")] if known[name] and not given else [])]
    return [*options, *overrides]


def _without_dashes(option: str, following: str) -> str:
    key, given, value = option.lstrip("-").partition("=")
    value = value if given or "=" in following else following
    return f"write {key}={value or '…'}, without dashes; python train.py --help shows what there is"


def config_dir(argv: Sequence[str]) -> str | None:
    """The folder of `--config-dir`, if given."""
    folder: str | None = get_args_parser().parse_known_args(list(argv))[0].config_dir
    return folder


def readable(override: str) -> str:
    """The override in Hydra's grammar: `~` becomes the home folder, and unusual characters are quoted."""
    key, given, value = override.partition("=")
    if not given or key.startswith("~"):
        return override
    if key in LISTS and value in NONE:
        return f"{key}=[]"
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    if bare == "~" or bare.startswith("~/"):
        home = quoted(os.path.expanduser("~"))[1:-1]  # noqa: PTH111 (which raises where there is no home)
        rest = bare[1:] if value.startswith('"') else bare[1:].replace('"', r"\"")
        return f'{key}="{home}{rest}"'
    if key == "notes" and bare not in ("", *NONE[:3]):  # free text, commas included
        return f"{key}={quoted(bare)}"
    is_name = key.rpartition(".")[2] in NAMES
    if re.search(r"[\[\]{},'\"$]", value):  # a list, say, unless it is an existing folder called [a] or a,b
        is_path = is_name and key != "name" and os.path.lexists(value)
        return f"{key}={quoted(value)}" if is_path else override
    if not (ODD.search(value) or is_name):
        return override
    try:
        read = OverridesParser.create().parse_override(override).value()
    except (HydraException, ValueError):  # a number with too many digits
        return f"{key}={quoted(value)}"
    return f"{key}={quoted(value)}" if is_name and isinstance(read, bool | int | float | None) else override


def misread(overrides: Sequence[str]) -> str | None:
    """What is wrong with overrides that the shell split, lack `=` or choose a replaced group; None if nothing is."""
    for position, override in enumerate(overrides):
        following = overrides[position + 1] if position + 1 < len(overrides) else ""
        if override == "=" or following == "=" or (override.endswith("=") and following and "=" not in following):
            return f"{override} {following}: leave out the spaces around =."
        if whole := _split_list(overrides[position:]):
            return f"{override}: leave out the spaces, or quote all of it: '{whole}'."
        key, _, value = override.lstrip("+").partition("=")
        if key in REPLACED:
            choices = [file.stem for file in (CONF / REPLACED[key]).glob("*.yaml")]
            name = f"{value}." if value in choices else f"NAME; {nearest(value, choices)}"
            return f"{override}: write {REPLACED[key]}={name}"
        if "=" not in override and not override.startswith("~"):
            groups = [group.parent.name for group in CONF.glob(f"*/{override}.yaml")]
            what = f"did you mean {groups[0]}={override}?" if groups else "each argument is key=value."
            return f"{override}: {what}"
    return None


def _split_list(overrides: Sequence[str]) -> str | None:
    """The list or table that begins with the first override and was split at its spaces; None if it was not."""
    if _open_brackets(overrides[0]) <= 0 or os.path.lexists(overrides[0].partition("=")[2]):
        return None
    wholes = (" ".join(overrides[: number + 1]) for number in range(1, len(overrides)))
    return next((whole for whole in wholes if _open_brackets(whole) == 0), None)


def _open_brackets(text: str) -> int:
    """The number of brackets that are opened and not closed, outside quotes."""
    bare = re.sub(r"""'(\\.|[^'\\])*'|"(\\.|[^"\\])*\"""", "", text)
    return sum((character in "[{") - (character in "]}") for character in bare)
