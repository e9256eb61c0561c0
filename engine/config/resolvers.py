"""Resolvers for conf/: `${name:argument}`. Nothing here imports torch."""

from collections.abc import Sized
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from engine.config.sweep_job import job_name, own_name, sweep_name, swept_settings
from engine.errors import DataError
from engine.paths import new_run_directory
from engine.photos.layouts.folders import folders_in
from engine.photos.layouts.split_folders import split_folders
from engine.photos.layouts.table import lines
from engine.run.config_file import in_sweep, register_stored_resolvers


def register_resolvers() -> None:
    """Registers the resolvers; required in each process before Hydra composes a config."""
    OmegaConf.register_new_resolver("count_labels", count_labels, replace=True)
    OmegaConf.register_new_resolver("new_run_directory", new_run_directory, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("count_classes", count_classes, replace=True)
    register_stored_resolvers()
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
    OmegaConf.register_new_resolver("own_name", own_name, replace=True)
    OmegaConf.register_new_resolver("job_name", job_name, replace=True)
    OmegaConf.register_new_resolver("alone", lambda: not in_sweep(), replace=True)
    OmegaConf.register_new_resolver("swept_settings", _swept_settings, replace=True)


def _swept_settings() -> DictConfig:
    """A job's settings as they are: a `${…}` in them refers to keys of the job's config, not of these."""
    settings = swept_settings()
    return OmegaConf.create(
        {key: value.replace("${", "\\${") if isinstance(value, str) else value for key, value in settings.items()}
    )


def count_labels(table: Any, column: str, classes: Sized | None = None) -> int:
    """The number of labels in a column of a table of photos, or of `classes` if given; 0 if it cannot be read."""
    if classes is not None:
        return len(classes)
    if not isinstance(table, str):  # reported by preflight
        return 0
    try:
        return len({label for row in lines(Path(table).expanduser()) if (label := (row.get(column) or "").strip())})
    except DataError:  # reported by the datamodule
        return 0


def count_classes(data_dir: Any, classes: Sized | None = None) -> int:
    """The number of visible folders in the training split of `data_dir`, or in `data_dir` itself if it has no splits.

    If `classes`, a list or mapping of names (datamodule.classes), is given, their number.
    """
    if classes is not None:
        return len(classes)
    if not isinstance(data_dir, str):  # reported by preflight
        return 0
    root = Path(data_dir).expanduser()
    try:
        root = split_folders(root).get("train", root)
    except DataError:  # reported by the datamodule
        root = root / "train" if (root / "train").is_dir() else root
    return len(folders_in(root))
