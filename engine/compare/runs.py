"""Reads runs from their directories, and finds the runs that a name stands for. Nothing here imports torch."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.config.sweep_job import FOLD, finite, is_about_the_sweep, key_of, written
from engine.errors import UserError
from engine.files import read_plain
from engine.run.config_file import flat, register_stored_resolvers
from engine.run.find import CONFIG, LOGS, find_run, runs_below
from engine.run.lock import is_in_use
from engine.run.outcome import outcome
from engine.run.trust.plain_yaml import load_plain_yaml
from engine.run.trust.stored_config import read_run_config
from engine.wording import nearest

OVERRIDES = Path(".hydra", "overrides.yaml")
MAX_BYTES = 1 << 20
STAMP = re.compile(r"(?:.+_)?(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)")

NOT_THE_EXPERIMENT = ("run_dir", "resume", "experiment", "name", "tags", "notes", "sweep", "seed")
"""Root keys of a config that name or locate a run, or set its seed, and do not define the experiment."""

NO_EFFECT = re.compile(
    r"logger\.|callback\.progress_bar\.|.*\.(num_workers|worker_timeout|chunk|keep_decoded|cache_dir|index_dir)$"
)
"""Settings that do not affect results: runs that differ only in these have the same `setting`."""


@dataclass(frozen=True)
class Run:
    """What is known of a run; an unreadable one has only its directory, and the reason in `unreadable`.

    config: config.yaml with its interpolations.
    facts: metrics.json.
    checkpoint: the checkpoint named by the user, if any.
    """

    directory: Path
    config: DictConfig
    facts: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    checkpoint: str | None = None
    unreadable: str = ""

    @property
    def name(self) -> str:
        """The directory without `logs/`, in the form that `run=` accepts."""
        path = self.directory
        name = str(path.relative_to(LOGS) if path.is_relative_to(LOGS) and path != LOGS else path)
        return f"{name}:{self.checkpoint}" if self.checkpoint else name

    @property
    def when(self) -> str:
        """When the run was started, to the minute, from its directory's name or else the age of its config.yaml."""
        if stamp := STAMP.match(self.directory.name):
            return f"{stamp[1]} {stamp[2]}:{stamp[3]}"
        return datetime.fromtimestamp((self.directory / CONFIG).lstat().st_mtime).strftime("%Y-%m-%d %H:%M")

    @property
    def experiment(self) -> str:
        return str(self.config.get("experiment") or self.directory.parent.name)

    @property
    def tags(self) -> list[str]:
        found = self.config.get("tags")
        return [str(tag) for tag in found] if isinstance(found, ListConfig) else []

    @property
    def notes(self) -> str:
        return str(self.config.get("notes") or "")

    @property
    def what(self) -> str:
        """The experiment, and its overrides on the command line."""
        own = (
            text
            for text in self.overrides
            if not is_about_the_sweep(text) and key_of(text) not in ("experiment", "name", "tags", "notes")
        )
        return " ".join([self.experiment, *own])

    @property
    def status(self) -> str:
        """`running` if a process trains there, else the status in metrics.json, or `killed` without one."""
        if self.unreadable:
            return "unreadable"
        if is_in_use(self.directory):
            return "running"
        return str(self.facts.get("status") or "killed")

    @property
    def metric(self) -> str | None:
        monitor = self.config.get("monitor")
        name = monitor.get("metric") if isinstance(monitor, DictConfig) else None
        return name if isinstance(name, str) else None

    @property
    def mode(self) -> str:
        monitor = self.config.get("monitor")
        return "max" if isinstance(monitor, DictConfig) and monitor.get("mode") == "max" else "min"

    def result(self, name: str) -> float | None:
        return finite(self.facts.get(name))

    def fact(self, group: str, name: str) -> Any:
        """An entry in a group of metrics.json, such as data.source."""
        return (self.facts.get(group) or {}).get(name)

    def checkpoint_or(self, wanted: str) -> str:
        """The checkpoint named by the user, or else the wanted one if it exists, or else the last one."""
        kept = (self.directory / "checkpoints" / f"{wanted}.ckpt").is_file()
        return self.checkpoint or (wanted if kept else "last")

    @property
    def seed(self) -> Any:
        return self.config.get("seed")

    @property
    def repeat(self) -> tuple[Any, Any]:
        """The seed and the fold of the data that the run validates on, None if it is not divided into folds."""
        datamodule = self.config.get("datamodule")
        is_divided = isinstance(datamodule, DictConfig) and datamodule.get("num_folds", 0) is not None
        return self.seed, datamodule.get("fold") if is_divided else None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The experiment's settings by dotted key, with unresolved interpolations and without seeds and folds."""
        found = flat(OmegaConf.to_container(self.config, resolve=False))  # type: ignore[arg-type]
        return {
            key: value
            for key, value in found.items()
            if key.partition(".")[0] not in NOT_THE_EXPERIMENT
            and key.rpartition(".")[2] != "seed"
            and key != FOLD
            and not re.search(r"\.swept(\.|$)", key)
        }

    @cached_property
    def setting(self) -> str:
        """All settings that may affect results, as text: equal for runs that differ only by chance."""
        kept = sorted((key, value) for key, value in self.settings.items() if not NO_EFFECT.match(key))
        return repr((kept, self.checkpoint))

    def value(self, key: str) -> Any:
        """A fact, or a resolved setting. Raises KeyError for an unknown name."""
        if key in FACTS:
            return FACTS[key](self)
        missing = object()
        register_stored_resolvers()
        try:
            found = OmegaConf.select(self.config, key, default=missing)
        except OmegaConfBaseException:
            found = missing
        if found is missing or isinstance(found, DictConfig):
            raise KeyError(key)
        return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found


FACTS: dict[str, Any] = {
    "status": lambda run: run.status,
    "name": lambda run: str(run.config.get("name")),
    "tags": lambda run: run.tags,
    "notes": lambda run: run.notes,
    "experiment": lambda run: run.experiment,
    "data": lambda run: run.fact("data", "name"),
    "source": lambda run: run.fact("data", "source"),
    "network": lambda run: run.fact("network", "name"),
}
"""What a filter may name in addition to the config's keys."""


def read_run(directory: Path, checkpoint: str | None = None, *, given: str | None = None) -> Run:
    """Reads the run in `directory`. Raises UserError if there is none, or if its files are invalid."""
    config = read_run_config(directory, given or f"run={directory}", to_compare=True)
    config.run_dir = "RUN_DIR"
    return Run(directory, config, outcome(directory), _overrides(directory), checkpoint)


def _overrides(directory: Path) -> list[str]:
    """The command line's overrides from Hydra's records; empty if the file is missing or invalid."""
    try:
        found = load_plain_yaml(read_plain(directory / OVERRIDES, MAX_BYTES))
    except (OSError, ValueError, UserError):
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def directories_of(given: str) -> list[tuple[Path, str | None]]:
    """The run directories that a name stands for, each with the checkpoint if the name is a checkpoint's path.

    A name is a run (engine/run/find.py) or a folder of runs, such as a sweep's directory or `logs`.
    """
    folder = Path(os.path.expanduser(given))  # noqa: PTH111 (which raises on "~nobody")
    if not given.strip():
        raise UserError("'' names no run: give a run's directory, a sweep's, logs, or last.")
    try:
        if not folder.exists() and (LOGS / folder).is_dir() and not (LOGS / folder / CONFIG).is_file():
            folder = LOGS / folder
        if folder.is_dir() and not (folder / CONFIG).is_file() and folder.name != "checkpoints":
            found = [(directory, None) for directory in runs_below(folder)]
            if not found:
                raise UserError(f"{given}: there is no run in this folder.")
            return [*found]
    except OSError as error:
        raise UserError(f"{given} cannot be read: {error.strerror}.") from error
    return [find_run(given)]


def read_leniently(directories: Iterable[tuple[Path, str | None]]) -> Iterator[Run]:
    """Reads each run; one that cannot be read becomes an unreadable row instead of ending the list."""
    for directory, checkpoint in directories:
        try:
            yield read_run(directory, checkpoint)
        except UserError as error:
            yield Run(directory, OmegaConf.create({}), unreadable=str(error))
        except OSError as error:
            yield Run(directory, OmegaConf.create({}), unreadable=f"{directory}: {error.strerror}")


def chosen(runs: Sequence[Run], filters: Mapping[str, str]) -> list[Run]:
    """The runs that match all filters. Raises UserError for a key that no run has."""
    for key, text in filters.items():
        values = {run.directory: value for run in runs if (value := _value(run, key)) is not MISSING}
        if runs and not values and key not in FACTS:
            known = {name for run in runs for name in flat(OmegaConf.to_container(run.config))}  # type: ignore[arg-type]
            raise UserError(f"{key}={text}: no run has a setting {key}; {nearest(key, [*known, *FACTS])}")
        runs = [run for run in runs if run.directory in values and _matches(values[run.directory], text)]
    return list(runs)


MISSING = object()


def _value(run: Run, key: str) -> Any:
    try:
        return run.value(key)
    except KeyError:
        return MISSING


def _matches(value: Any, text: str) -> bool:
    """Whether a value equals a typed text: 0.01 is 1e-2. A list matches as a whole, or by one of its texts."""
    if isinstance(value, list):
        return text in value or str(value).replace(" ", "").replace("'", "") == text.replace(" ", "").replace("'", "")
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value) == float(text)
        except ValueError:
            return False
    return written(value) == text
