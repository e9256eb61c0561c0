"""Command lines of evaluate.py, predict.py and export.py, before Hydra reads them. Nothing here imports torch."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from engine.errors import UserError
from engine.paths import CONF

SWEEP = ("-m", "--multirun")
QUOTES = ("'", '"')


def quote_values(argv: list[str], keys: Iterable[str]) -> list[str]:
    """`key=value` as `key="value"` for these keys, so that a path may hold what Hydra's grammar would read: (,=[{.

    null, values in quotes, and the command line of a sweep, where a comma separates, come back as they are.
    """
    if any(argument in SWEEP for argument in argv):
        return argv
    result = []
    for argument in argv:
        key, given, value = argument.partition("=")
        plain = not given or key not in keys or value in ("", "null") or value.startswith(QUOTES)
        result.append(argument if plain else f"{key}={quoted(value)}")
    return result


def gather_overrides(argv: list[str], config_name: str) -> list[str]:
    """What is not a key of conf/<config_name>.yaml goes into its list `overrides`: it is meant for a run's own config.

    `run=DIR trainer.devices=1` as `run=DIR overrides=["trainer.devices=1"]`.
    """
    own = {str(key) for key in OmegaConf.load(CONF / f"{config_name}.yaml")}
    assignments = [argument for argument in argv if "=" in argument and not argument.startswith("-")]
    meant_for_run = [argument for argument in assignments if _root(argument) not in own]
    if not meant_for_run:
        return argv
    rest = [argument for argument in argv if argument not in meant_for_run]
    return [*rest, f"overrides=[{','.join(map(quoted, meant_for_run))}]"]


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """A user's mistake is printed alone, without what Hydra puts around it, and the process exits with 1."""
    try:
        yield
    except UserError as error:
        sys.exit(str(error))


def given_path(cfg: DictConfig, key: str, meaning: str) -> Path:
    """The path of a key that must be given; UserError, which says what it means, where it is not."""
    if OmegaConf.is_missing(cfg, key):
        raise UserError(f"Give {key}=…, {meaning}.")
    return Path(str(cfg[key]))


def _root(argument: str) -> str:
    """`hydra` of `hydra/job_logging=none`, `trainer` of `trainer.devices=1`."""
    return argument.partition("=")[0].partition(".")[0].partition("/")[0]


def quoted(value: object) -> str:
    """As Hydra's grammar wants a text that may hold anything."""
    return '"' + str(value).replace('"', r"\"") + '"'
