"""Collects what is known of a run from its directory and from its network's predictions."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from engine.errors import UserError
from engine.files import read_plain
from engine.pages.curves import at_step_of, read_logged, steps_of_epochs
from engine.pages.markup import picture
from engine.report.settings import config_dirs_of, overrides_of
from engine.results.outputs import Collector, class_names
from engine.run.data_facts import classes_of
from engine.run.outcome import outcome, read_json

MAX_EPOCHS, MAX_LOG = 10**12, 1 << 24
LOGGED = re.compile(r"\[[\d ,:-]+\]\[([\w.]+)\]\[([A-Z]+)\] - (.*)")
"""A line of train.log: logger, level and text."""

CROSS_VALIDATION = "evaluation_cross_validation.json"

DATA = ("engine.photos", "datamodules")
"""Prefixes of the loggers that report on the data."""


@dataclass
class Facts:
    """A run's directory, its stored config, and its network's predictions; `missing` says why there are none.

    `known_classes` are the class names to use if the data is not available. `grad_cam` maps positions of examples and
    output columns to pictures of where the network looked; None if these were not asked for.
    """

    directory: Path
    config: Mapping[Any, Any]
    collector: Collector
    missing: str | None = None
    known_classes: Sequence[str] = ()
    grad_cam: Callable[[Sequence[int], Sequence[int]], list[Image.Image]] | None = None

    def __post_init__(self) -> None:
        self.outcome = {key: value for key, value in outcome(self.directory).items() if _is_sound(key, value)}
        self.overrides, self.config_dirs = overrides_of(self.directory), config_dirs_of(self.directory)
        self.curves, self._first_batch = read_logged(self.directory)
        self.datamodule, self.predictions = self.collector.datamodule, self.collector.predictions()

    @property
    def findings(self) -> list[str]:
        """What the data checks logged, and all warnings."""
        try:
            lines = read_plain(self.directory / "train.log", MAX_LOG).decode("utf-8", errors="replace").splitlines()
        except (OSError, UserError):
            return []
        found = [match.groups() for line in lines if (match := LOGGED.fullmatch(line))]
        told = [text for logger, level, text in found if level == "WARNING" or logger.startswith(DATA)]
        return list(dict.fromkeys(told))

    @property
    def validated_once(self) -> bool:
        """Whether a single epoch was validated, so that nothing selected it."""
        return len(self.curves.get(self.monitor or "", ())) == 1

    @property
    def cross_validation(self) -> dict[str, float]:
        """The metrics of evaluate.py's cross-validation of this run; empty without one."""
        try:
            content = read_json(self.directory / CROSS_VALIDATION, MAX_LOG, dict[str, Any])
        except (OSError, UserError):
            return {}
        names = [f"val/{kind}acc{bound}" for kind in ("", "nested_") for bound in ("", "_low", "_high")]
        found = {name: content[name] for name in names if type(content.get(name)) is float}
        return found if len(found) == len(names) else {}

    @property
    def first_batch(self) -> str:
        """The first batch's picture as HTML; empty if none was logged."""
        found = self._first_batch
        return picture(found.jpeg, "The first batch", (found.width * 4 // 5, found.height * 4 // 5)) if found else ""

    @property
    def name(self) -> str:
        return str(self._said("name") or self.directory.name)

    @property
    def experiment(self) -> str:
        return str(self._said("experiment") or self.name)

    def _said(self, key: str) -> Any:
        """A setting that describes the run: from metrics.json, since the config may contain `${…}`."""
        return self.outcome.get(key) or self.config.get(key)

    @property
    def remarks(self) -> list[str]:
        """The user's remarks: notes, tags, and the experiment if the run has a name of its own."""
        tags, notes = self._said("tags"), self._said("notes")
        said = [self.experiment] if self.experiment != self.name else []
        said += [f"tags: {', '.join(map(str, tags))}"] if isinstance(tags, list) and tags else []
        return [*([", ".join(said)] if said else []), *([str(notes)] if notes else [])]

    @property
    def monitor(self) -> str | None:
        node = self.config.get("monitor")
        metric = node.get("metric") if isinstance(node, dict) else None
        return metric if isinstance(metric, str) else None

    @property
    def several(self) -> bool:
        """Whether an example may have several labels."""
        return self.predictions is not None and self.predictions.kind == "labels"

    @property
    def classes(self) -> list[str]:
        if self.predictions is not None and self.predictions.kind != "numbers":
            return class_names(self.datamodule, self.predictions.outputs.shape[1])
        return classes_of(self.datamodule) or [str(name) for name in self.known_classes]

    @property
    def counts(self) -> dict[str, int]:
        """Examples per split from metrics.json, except for the predicted split, whose examples were counted."""
        noted = self.outcome.get("counts")
        counts = {str(k): v for k, v in noted.items() if type(v) is int} if isinstance(noted, dict) else {}
        return counts | ({self.predictions.split: len(self.predictions.targets)} if self.predictions else {})

    @cached_property
    def best(self) -> dict[str, float]:
        """All logged metrics at the best epoch; empty if there is none or no logger wrote them."""
        value = self.outcome.get(f"best/{self.monitor}")
        if not isinstance(value, int | float) or self.monitor is None:
            return {}
        return at_step_of(self.curves, self.monitor, value) | {self.monitor: float(value)}

    @property
    def best_step(self) -> int | None:
        value = self.best.get(self.monitor or "")
        curve = self.curves.get(self.monitor or "", {})
        return next((step for step, seen in curve.items() if abs(seen - (value or 0)) <= 1e-6 * abs(seen)), None)

    @property
    def epoch_ends(self) -> list[int] | None:
        epochs = self.outcome.get("epochs")
        return steps_of_epochs(self.curves, epochs) if isinstance(epochs, int) else None

    @property
    def shown_epoch(self) -> str:
        """The epoch whose weights made the predictions."""
        epoch = self.outcome.get("best/epoch")
        return f"best epoch ({epoch})" if isinstance(epoch, int) else "last epoch"


def _is_sound(key: str, value: object) -> bool:
    """Whether a value of metrics.json, which may come from a stranger, is one that a run could write."""
    if isinstance(value, float):
        return math.isfinite(value)
    if key in ("epochs", "best/epoch"):
        return value is None or (type(value) is int and 0 <= value < MAX_EPOCHS)
    return not isinstance(value, int) or abs(value) < MAX_EPOCHS
