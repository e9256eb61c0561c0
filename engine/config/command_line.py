"""Rewrites `resume=DIR` and `sweep.resume=DIR`, so that Hydra composes from the run's or sweep's own settings."""

import io
import sys
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from typing_extensions import TypedDict

from engine.config.arguments import quoted, unquoted_path
from engine.config.choices import with_choices
from engine.config.options import config_dir, misread, options_first, readable
from engine.config.sweep_job import MAX_LEDGER_BYTES, key_of
from engine.errors import UserError
from engine.paths import CONF, refuse_unwritable, typed
from engine.process.stop import queued_again
from engine.run.find import find_run
from engine.run.outcome import read_json
from engine.run.trust.gate import require_plain
from engine.run.trust.locations import check_arguments
from engine.run.trust.stored_config import read_run_config
from engine.wording import shown

CONFIG_OPTIONS = ("--config-path", "-cp", "--config-name", "-cn")


class Started(TypedDict):
    """How a sweep was started, from its sweep.json."""

    arguments: list[str]
    cwd: str


RESUMED_RUN = "resumed_run"
"""The name of the resumed run's config in Hydra's config store."""


def compose_resumed_run_from_its_config(argv: list[str]) -> list[str]:
    """Rewrites `resume=DIR key=value` to `--config-name resumed_run hydra.run.dir=DIR resume=DIR key=value`.

    The run's config is checked (stored_config.py) and stored under that name, so Hydra reads nothing else from DIR,
    which may come from a stranger. A resumed run thus needs only its directory, even if that was moved, and any
    override can be given, including choices of groups (choices.py). Without `resume=`, the command line is returned
    unchanged.
    Raises UserError if DIR holds no run or its config is refused.
    """
    given = [argument for argument in argv if argument.startswith("resume=") and argument != "resume=null"]
    if not given:
        return argv
    directory = _run_to_resume(unquoted_path(given[-1].removeprefix("resume=")))
    config = read_run_config(directory, f"resume={directory}", replaced=[key_of(argument) for argument in argv])
    rest = with_choices(config, [argument for argument in argv if argument not in given], config_dir(argv))
    ConfigStore.instance().store(RESUMED_RUN, config)
    if RESUMED_RUN in argv:  # already rewritten: Lightning starts its processes with this command line
        return argv
    own = [f"resume={quoted(directory)}", f"hydra.run.dir={quoted(directory)}", "hydra.output_subdir=null"]
    return ["--config-name", RESUMED_RUN, *rest, *own]


def compose_repeated_run_from_its_config(argv: list[str]) -> list[str]:
    """Does the same for `--config-path DIR --config-name config`, which repeats the run in DIR, unless DIR is conf/.

    Raises UserError for any other config there, and for Hydra options that read pickles.
    """
    options, _ = get_args_parser().parse_known_args(argv)
    if options.experimental_rerun:
        raise UserError("--experimental-rerun reads a pickle, which could hold code: give resume=DIR instead.")
    if options.config_path is None or (CONF.parent / options.config_path).resolve() == CONF.resolve():
        return argv
    if options.config_name not in ("config", "config.yaml"):
        raise UserError("--config-path is for a run's --config-name config; add configs of your own with --config-dir.")
    directory = Path(CONF.parent, options.config_path)
    ConfigStore.instance().store(
        RESUMED_RUN,
        read_run_config(directory, f"--config-path {directory}", replaced=[key_of(argument) for argument in argv]),
    )
    rest, skip = [], False
    for argument in argv:
        option, given, _ = argument.partition("=")
        if not skip and option not in CONFIG_OPTIONS:
            rest.append(argument)
        skip = not skip and option in CONFIG_OPTIONS and not given
    return ["--config-name", RESUMED_RUN, *rest]


def compose_resumed_sweep_from_its_arguments(argv: list[str]) -> list[str]:
    """Rewrites `-m sweep.resume=DIR key=value` to the arguments that started the sweep in DIR, followed by `key=value`.

    Without `sweep.resume=`, the command line is returned unchanged. Raises UserError if DIR holds no sweep, if its
    arguments are refused (locations.py), or outside the directory in which it was started, where its paths start.
    """
    given = [argument for argument in argv if argument.startswith("sweep.resume=") and argument != "sweep.resume=null"]
    if not given:
        return argv
    directory = Path(unquoted_path(given[-1].removeprefix("sweep.resume="))).absolute()
    require_plain(directory, f"sweep.resume={directory}")
    if not (directory / "sweep.json").is_file():
        raise UserError(f"sweep.resume={directory}: there is no sweep.json; give the directory of a sweep.")
    sweep = read_json(directory / "sweep.json", MAX_LEDGER_BYTES, Started)
    if Path.cwd() != Path(sweep["cwd"]) and Path(sweep["cwd"]).is_dir():
        raise UserError(f"sweep.resume={directory}: the sweep was started in {sweep['cwd']}: continue it there.")
    added = [argument for argument in argv if argument not in (*given, "-m", "--multirun")]
    added += [f"sweep.resume={quoted(directory)}", f"hydra.sweep.dir={quoted(directory)}"]
    replaced = {key_of(argument) for argument in added}
    before = _parsed(sweep["arguments"], directory / "sweep.json")
    if before.config_dir and not config_dir(added):
        raise UserError(
            f"sweep.resume={directory}: it was started with --config-dir {before.config_dir}: give it again."
        )
    kept = [argument for argument in before.overrides if key_of(argument) not in replaced]
    check_arguments(kept, directory / "sweep.json")
    return ["-m", *kept, *added]


def _parsed(arguments: list[str], file: Path) -> Namespace:
    """Hydra's reading of arguments recorded in `file`. UserError if it would end the process, as for `--version`."""
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return get_args_parser().parse_known_args(arguments)[0]
    except SystemExit as error:
        told = " ".join(shown(argument) for argument in arguments if argument.startswith("-"))
        raise UserError(f"{file}: a sweep cannot have been started with {told}: it was modified.") from error


def _run_to_resume(given: str) -> Path:
    """The directory of the run that `resume=` names, in any form that `run=` accepts."""
    directory, checkpoint = find_run(given, "resume")
    if checkpoint not in (None, "last"):
        raise UserError(
            f"resume={given}: a run continues from its last.ckpt: give its directory, or start a new run from its best "
            f"weights with init_from={typed(directory)}."
        )
    return directory.absolute()


def with_paths(argv: list[str]) -> list[str]:
    """The command line with `init_from=` resolved to the directory of a run."""
    key = "init_from="
    return [
        f"{key}{quoted(find_run(unquoted_path(text.removeprefix(key)), 'init_from')[0])}"
        if text.startswith(key) and text != f"{key}null"
        else text
        for text in argv
    ]


def rewrite_arguments() -> None:
    """Rewrites sys.argv; prints a user's mistake and exits with 1."""
    try:
        before = queued_again()  # a requeued SLURM job starts with its first command line
        argv = [f"resume={before}"] if before else options_first(sys.argv[1:])
        overrides = get_args_parser().parse_known_args(argv)[0].overrides
        if mistake := misread(overrides):
            raise UserError(mistake)
        argv = [*argv[: len(argv) - len(overrides)], *map(readable, overrides)]
        argv = compose_resumed_run_from_its_config(compose_repeated_run_from_its_config(argv))
        argv = with_paths(argv)
        sys.argv[1:] = options_first(compose_resumed_sweep_from_its_arguments(argv))
        refuse_unwritable(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
