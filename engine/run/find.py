"""Finds the run that a path, its beginning, or `last` names. Nothing here imports torch."""

import os
from collections.abc import Iterator
from pathlib import Path

from engine.errors import UserError
from engine.wording import nearest

CONFIG, LOGS = "config.yaml", Path("logs")


def find_run(given: str | Path, key: str = "run") -> tuple[Path, str | None]:
    """The directory of the run that `key=given` names, and the checkpoint's name if it is the path of one.

    `given` is a run's directory, a file in it, a unique beginning of its path (`logs/` can be left out), or `last`: the
    run in logs/ that was started or resumed last.

    UserError if it names no run, or several.
    """
    try:
        return _find(given, key)
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be read
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{key}={given} cannot be read as a path: {reason}.") from error


def _find(given: str | Path, key: str) -> tuple[Path, str | None]:
    said, path = f"{key}={given}", Path(os.path.expanduser(given))  # noqa: PTH111 (which raises on "~nobody")
    if str(given) == "last" and not path.exists():
        runs = sorted(runs_below(LOGS), key=lambda run: (run / CONFIG).stat().st_mtime_ns)
        if not runs:
            raise UserError(f"{said}: there is no run under {LOGS.absolute()}.")
        return runs[-1], None
    if not path.exists() and (LOGS / path).is_file():
        path = LOGS / path
    if path.is_file():
        return _run_of_file(path, said)
    if (path / CONFIG).is_file():
        return path, None
    if path.name == "checkpoints" and (path.parent / CONFIG).is_file():
        return path.parent, None
    if path.is_dir():
        raise UserError(f"{said}: {_inside(path, key)}.")
    starts = dict.fromkeys(start for base in (path, LOGS / path) for start in base.parent.glob(f"{_plain(base.name)}*"))
    runs = list(dict.fromkeys(run for start in starts for run in runs_below(start)))
    if len(runs) == 1:
        return runs[0], None
    if runs:
        raise UserError(f"{said}: {len(runs)} runs match, {_listed(runs)}: give more of the path.")
    raise UserError(f"{said}: there is no such run{_others(path)}")


def _others(path: Path) -> str:
    """The rest of the sentence: the run with the nearest name, or what there is under logs/."""
    if not (known := [str(run) for run in runs_below(LOGS)]):
        return f", and no other under {LOGS}/."
    near = nearest(str(path), known)
    return f"; {near}" if near.endswith("?") else f"; {near} under {LOGS}/."


def runs_below(folder: Path) -> Iterator[Path]:
    """All run directories in a folder, at any depth, sorted by name; runs are not searched for other runs."""
    if (folder / CONFIG).is_file():
        yield folder
    elif folder.is_dir():
        for child in sorted(folder.iterdir()):
            if not child.name.startswith(".") and not child.is_symlink():
                yield from runs_below(child)


def _run_of_file(path: Path, said: str) -> tuple[Path, str | None]:
    for directory in path.absolute().parents[:2]:
        if (directory / CONFIG).is_file():
            is_checkpoint = path.suffix == ".ckpt" and path.stem != "backbone"
            shown = path.parent if directory == path.absolute().parent else path.parent.parent
            return shown, path.stem if is_checkpoint else None
    if (path.parent / "sweep.json").is_file():
        raise UserError(f"{said}: {_inside(path.parent, said.partition('=')[0])}.")
    raise UserError(f"{said}: this file is not in a run directory; give one, logs/<experiment>/<time>.")


def _inside(folder: Path, key: str) -> str:
    """Why a folder is not a run."""
    runs = list(runs_below(folder))
    if not runs:
        return f"there is no {CONFIG}; give the directory of a run, logs/<experiment>/<time>"
    kind = "a sweep: choose a job" if (folder / "sweep.json").is_file() else f"a folder of {len(runs)} runs: choose one"
    return f"this is {kind}, such as {key}={runs[-1]}"


def _listed(runs: list[Path]) -> str:
    return ", ".join(map(str, runs[-3:])) + (", …" if len(runs) > 3 else "")


def _plain(name: str) -> str:
    """A glob that only matches this name."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
