"""The resolvers that conf/ uses: `${name:argument}`. Nothing here imports torch."""

from collections.abc import Sized
from pathlib import Path

from omegaconf import OmegaConf

from engine.config.sweep_job import job_name, own_name, sweep_name, swept_settings
from engine.errors import DataError
from engine.paths import new_run_directory
from engine.photos.split_folders import split_folders
from engine.photos.table import lines
from engine.run.config_file import in_sweep, register_stored_resolvers


def register_resolvers() -> None:
    """Once a process, before Hydra composes anything."""
    OmegaConf.register_new_resolver("count_labels", count_labels, replace=True)
    OmegaConf.register_new_resolver("new_run_directory", new_run_directory, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("count_classes", count_classes, replace=True)
    register_stored_resolvers()
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
    OmegaConf.register_new_resolver("own_name", own_name, replace=True)
    OmegaConf.register_new_resolver("job_name", job_name, replace=True)
    OmegaConf.register_new_resolver("alone", lambda: not in_sweep(), replace=True)
    OmegaConf.register_new_resolver("swept_settings", lambda: OmegaConf.create(swept_settings()), replace=True)


def count_labels(table: str, column: str, classes: Sized | None = None) -> int:
    """How many labels a table of photos has in a column, or `classes` names; 0 if it cannot be read."""
    if classes is not None:
        return len(classes)
    try:
        return len({label for row in lines(Path(table).expanduser()) if (label := (row.get(column) or "").strip())})
    except DataError:  # the data module says so
        return 0


def count_classes(data_dir: str, classes: Sized | None = None) -> int:
    """How many visible folders lie in the training split of `data_dir`, or in `data_dir` if it has no splits.

    With `classes`, a list or a mapping of names (datamodule.classes), the number of those.
    """
    if classes is not None:
        return len(classes)
    root = Path(data_dir).expanduser()
    try:
        root = split_folders(root).get("train", root)
    except DataError:  # the data module says so
        root = root / "train" if (root / "train").is_dir() else root
    return sum(1 for child in root.glob("[!.]*") if child.is_dir())
