"""Starts an entry point, and shows errors as one message, or with a traceback if `debug=trace`."""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from hydra.errors import CompactHydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from engine.config.command_line import rewrite_arguments
from engine.config.help import train_help
from engine.config.resolvers import register_resolvers
from engine.errors import UserError
from engine.process.startup import begin_script, quick_imports
from engine.process.stop import let_the_first_end
from engine.process.streams import secure_streams

TRACE = ("debug=trace", "+debug=trace")


def start(main: Callable[[], Any]) -> None:
    """Runs train.py's command line."""
    begin_script()
    secure_streams()
    if not {"--help", "-h"}.isdisjoint(sys.argv[1:]):
        print(train_help())  # Hydra's own help would compose the config and read every file of every group
        return
    if sys.argv[1:2] == ["--complete"]:
        from engine.config.completion import answer_completion  # imported only for a shell's completion

        register_resolvers()
        answer_completion(main)
    with clear_errors("train"):
        rewrite_arguments()
        register_resolvers()
        main()


@contextmanager
def clear_errors(config_name: str) -> Iterator[None]:
    """Exits with 1 and one message on a user error; with `debug=trace`, lets the exception through."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra re-raises errors instead of printing them
    try:
        yield
    except Exception as error:
        if not set(TRACE).isdisjoint(sys.argv):
            raise
        if isinstance(error, UserError):
            sys.exit(str(error))
        if told := _disk_failure(error):
            sys.exit(told)
        in_job = _in_job(error.__traceback__)
        message = None if in_job else _explained(config_name)
        if message is None and not in_job and isinstance(error, OmegaConfBaseException):
            message = f"{error.full_key}: {str(error).splitlines()[0]}"  # a setting that does not resolve
        if message is None and not isinstance(error, CompactHydraException):
            traceback.print_exception(error.with_traceback(in_job or error.__traceback__))
            sys.exit(1)
        sys.exit(message or str(error))
    finally:
        gc.freeze()  # skips a garbage collection at exit that took a second


@contextmanager
def mistakes_end_it(cfg: DictConfig) -> Iterator[None]:
    """Exits on a user error before Hydra prints a line of its own above it."""
    with quick_imports():
        from engine.run.failure import for_the_user

    try:
        with for_the_user(cfg):
            yield
    except UserError as error:
        if not set(TRACE).isdisjoint(sys.argv):
            raise
        sys.unraisablehook = lambda _: None  # what a failure left half made cannot be destroyed either
        let_the_first_end()  # which was stopped, perhaps, so that this process lost its connection
        raise SystemExit(str(error)) from error


def _disk_failure(error: BaseException | None) -> str | None:
    """The message for an OSError that Hydra has wrapped, such as a file it could not write; else None."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    if error is None:
        return None
    from engine.run.failure import sentence  # imported here, as it needs torch

    return sentence(error)


def _in_job(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback below Hydra; None if Hydra was still composing the config."""
    while trace is not None and trace.tb_frame.f_code.co_name != "run_job":
        trace = trace.tb_next
    return trace and trace.tb_next


def _explained(config_name: str) -> str | None:
    from engine.config.composition import explained  # imported only for errors

    return explained(config_name, sys.argv[1:])
