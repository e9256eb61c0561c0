"""How an entry point starts, and what a user reads of an error: one message, or its traceback with `debug=trace`."""

import gc
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from engine.config.command_line import rewrite_arguments
from engine.config.help import train_help
from engine.config.resolvers import register_resolvers
from engine.errors import UserError
from engine.startup import keep_out_current_folder, quick_imports

TRACE = ("debug=trace", "+debug=trace")


def start(main: Callable[[], Any]) -> None:
    """train.py, from its command line."""
    keep_out_current_folder()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may know no more than ASCII
            stream.reconfigure(errors="replace")
    if not {"--help", "-h"}.isdisjoint(sys.argv[1:]):
        print(train_help())  # Hydra would compose the config for it, and read every file of every group
        return
    if sys.argv[1:2] == ["--complete"]:
        from engine.config.completion import answer_completion  # only here: it is for a shell

        register_resolvers()
        answer_completion(main)
    with clear_errors("train"):
        rewrite_arguments()
        register_resolvers()
        main()


@contextmanager
def clear_errors(config_name: str) -> Iterator[None]:
    """Around an entry point: exits with 1 and one message on a mistake, with its traceback too for `debug=trace`."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them
    try:
        yield
    except Exception as error:
        if not set(TRACE).isdisjoint(sys.argv):
            raise
        if isinstance(error, UserError):
            sys.exit(str(error))
        if told := _of_the_disk(error):
            sys.exit(told)
        in_job = _in_job(error.__traceback__)
        message = None if in_job else _explained(config_name)
        if message is None and not isinstance(error, CompactHydraException):
            traceback.print_exception(error.with_traceback(in_job or error.__traceback__))
            sys.exit(1)
        sys.exit(message or str(error))
    finally:
        gc.freeze()  # what lives until now lives to the end: searching it for garbage there took another second


@contextmanager
def mistakes_end_it(cfg: DictConfig) -> Iterator[None]:
    """Around a run: what the user can mend ends the process here, before Hydra puts a line of its own above it."""
    with quick_imports():
        from engine.run.failure import for_the_user

    try:
        with for_the_user(cfg):
            yield
    except UserError as error:
        if not set(TRACE).isdisjoint(sys.argv):
            raise
        raise SystemExit(str(error)) from error


def _of_the_disk(error: BaseException | None) -> str | None:
    """What to tell of a file that Hydra itself could not write, whatever it made of the error."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    if error is None:
        return None
    from engine.run.failure import sentence  # only here, as it imports torch

    return sentence(error)


def _in_job(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is not Hydra's own; None if there is none: Hydra was still composing the config."""
    while trace is not None and trace.tb_frame.f_code.co_name != "run_job":
        trace = trace.tb_next
    return trace and trace.tb_next


def _explained(config_name: str) -> str | None:
    from engine.config.composition import explained  # only here: it is for errors

    return explained(config_name, sys.argv[1:])
