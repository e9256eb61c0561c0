"""Where things are: the project, its config, and the directory that each run gets for itself."""

import os
import re
import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path, PurePosixPath

from engine.errors import UserError

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"


MAX_LABEL = 40  # characters


def label(name: str) -> str:
    """A run's name as a part of its directory's: letters, digits and + . _ - alone."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.")[:MAX_LABEL]


def new_run_directory(parent: str, name: object = "") -> str:
    """Creates `parent/<date_time>` or, with a name, `parent/<name>_<date_time>`, which no other run can then take.

    A second one in the same second gets microseconds.

    On failure, the process exits with one sentence, since Hydra would print the traceback of a resolver's exception.
    """
    if _is_one_of_several():
        sys.exit("All processes of one run need the same hydra.run.dir=DIR: give it to each of them.")
    try:
        Path(parent).mkdir(parents=True, exist_ok=True)
        form = "%Y-%m-%d_%H-%M-%S"
        own = label(str(name)) if name else ""
        while True:
            directory = Path(parent, f"{own}{'_' * bool(own)}{datetime.now().strftime(form)}")
            try:
                directory.mkdir()
            except FileExistsError:
                form = "%Y-%m-%d_%H-%M-%S_%f"
                continue
            return str(directory)
    except OSError as error:
        sys.exit(f"{parent} cannot hold the run ({error.strerror}): fix its permissions, or give hydra.run.dir=DIR.")


def require_literal(place: Path, given: str) -> None:
    """UserError for a path that something else would be made of: OmegaConf replaces `${x}`, TensorBoard `$HOME`."""
    if "${" in str(place) or os.path.expandvars(place) != str(place):
        raise UserError(
            f"{given}: {place} looks like a variable ($NAME or ${{name}}): rename that folder, or give another."
        )


def refuse_unwritable(argv: list[str]) -> None:
    """UserError for a run's or sweep's directory on the command line that cannot be made; nothing is made here.

    Hydra, which makes it before anything of ours runs, would show a traceback.
    """
    require_literal(Path.cwd(), "The current folder cannot hold a run")
    for argument in argv:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "hydra.job.chdir" and value.lower() not in ("false", "null"):
            raise UserError(
                f"{argument}: runs do not change their working directory, to which paths are relative: leave it out."
            )
        if key not in ("hydra.run.dir", "hydra.sweep.dir") or "${" in value:
            continue
        place = Path(value.strip("\"'")).absolute()
        require_literal(place, argument)
        while not os.path.lexists(place):
            place = place.parent
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise UserError(f"{argument}: {place} is not a writable folder; fix its permissions, or give another.")


def _is_one_of_several() -> bool:
    """Whether torchrun, srun or a person on several machines started this process, rather than Lightning.

    Processes that Lightning starts get the directory from it.
    """
    is_shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as Lightning has it: srun started no task
    sizes = ("WORLD_SIZE",) if is_shell else ("WORLD_SIZE", "SLURM_NTASKS")
    several = max(int(os.environ.get(name, "1")) for name in sizes) > 1
    return several or "NODE_RANK" in os.environ


def is_place(text: str) -> bool:
    """Whether a text is a path that may lead anywhere, or an address, in whatever spelling."""
    parts = PurePosixPath(text.replace("\\", "/")).parts
    starts = re.match(r"\s*([/~]|\\\\\w|[A-Za-z][\w+.-]*:[/\\])", text) or re.search(r"\$[A-Za-z_]|::|://", text)
    return ".." in parts or starts is not None


def command(script: str) -> str:
    """`python train.py` as one would type it here, whatever folder that is, and whether or not the environment is
    active."""
    return f"{_tool('python')} {typed(ROOT / script)}"


def tensorboard(directory: Path) -> str:
    """The command that shows the runs in a directory."""
    return f"{_tool('tensorboard')} --logdir {typed(directory)}"


def _tool(name: str) -> str:
    """A program of the environment that this process runs in: by its name alone if a shell would find it by that."""
    own, found = Path(sys.executable).parent, shutil.which(name)
    is_found = found is not None and Path(found).parent == own
    return name if is_found or not (own / name).exists() else typed(own / name)


def typed(path: Path) -> str:
    """A path as one would type it here."""
    here, path = Path.cwd(), path.absolute()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
