"""What is known of a run: from its directory, and from what its network says about its data."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from engine.report.curves import Curve, at_step_of, read_curves, steps_of_epochs
from engine.report.predictions import Collector, Predictions, class_names
from engine.report.settings import overrides_of
from engine.run.allowlist import read_run_config
from engine.run.outcome import outcome


@dataclass
class Facts:
    """A run's directory, and what its network predicts; `missing` says why it predicts nothing."""

    directory: Path
    datamodule: Any = None
    predictions: Predictions | None = None
    missing: str | None = None
    config: dict[Any, Any] = field(init=False)
    outcome: dict[str, Any] = field(init=False)
    overrides: list[str] = field(init=False)
    curves: dict[str, Curve] = field(init=False)

    def __post_init__(self) -> None:
        # Nothing is made of the config: its values are shown.
        config = read_run_config(self.directory, f"run={self.directory}", to_compare=True)
        content = OmegaConf.to_container(config, resolve=False)
        assert isinstance(content, dict)
        self.config = content
        self.outcome = outcome(self.directory)
        self.overrides = overrides_of(self.directory)
        self.curves = read_curves(self.directory)

    @classmethod
    def collected(cls, directory: Path, collector: Collector) -> "Facts":
        return cls(directory, collector.datamodule, collector.predictions())

    @property
    def name(self) -> str:
        return str(self.config.get("name") or self.directory.name)

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
        return [str(name) for name in getattr(self.datamodule, "classes", ())]

    @property
    def counts(self) -> dict[str, int]:
        """Examples per split: as metrics.json has them, those that were predicted as they were counted."""
        noted = self.outcome.get("counts")
        counts = {str(k): v for k, v in noted.items() if type(v) is int} if isinstance(noted, dict) else {}
        return counts | ({self.predictions.split: len(self.predictions.targets)} if self.predictions else {})

    @cached_property
    def best(self) -> dict[str, float]:
        """All logged metrics at the best epoch; empty where none was kept, or no logger wrote them."""
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
        """Which weights the predictions are of."""
        epoch = self.outcome.get("best/epoch")
        return f"best epoch ({epoch + 1})" if isinstance(epoch, int) else "last epoch"
