"""`resume=DIR` on the command line: compose from the run's own config instead of conf/."""

import sys
from pathlib import Path

from runs.errors import UserError


def compose_resumed_run_from_its_config(argv: list[str]) -> list[str]:
    """`resume=DIR key=value` as `--config-path DIR --config-name config hydra.run.dir=DIR resume=DIR key=value`.

    So a resumed run needs nothing but its directory, wherever that was moved, and every override that Hydra knows can
    still be given. A command line without `resume=` comes back as it is. Raises UserError where DIR holds no run.
    """
    given = [argument for argument in argv if argument.startswith("resume=") and argument != "resume=null"]
    if not given or "--config-path" in argv:  # the processes that Lightning starts get the rewritten command line
        return argv
    directory = Path(given[-1].removeprefix("resume=")).absolute()
    if not (directory / "config.yaml").is_file():
        raise UserError(
            f"resume={directory}: there is no config.yaml; give the directory of a run, logs/<experiment>/<time>."
        )
    rest = [argument for argument in argv if argument not in given]
    quoted = '"' + str(directory).replace('"', r"\"") + '"'  # as Hydra's grammar wants it
    return [
        *rest,
        f"resume={quoted}",
        f"hydra.run.dir={quoted}",
        "hydra.output_subdir=null",
        "--config-path",
        str(directory),
        "--config-name",
        "config",
    ]


def rewrite_arguments() -> None:
    """Puts the rewritten command line in the place of the given one; on a user's mistake prints it and exits with 1."""
    try:
        sys.argv[1:] = compose_resumed_run_from_its_config(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
