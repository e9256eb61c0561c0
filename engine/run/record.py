"""Writes a run's metrics.json."""

import math
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict, read_write

from engine.build import network_name
from engine.errors import UserError
from engine.run.config_file import is_first_process, plain, usable_cores
from engine.run.data_facts import counts_of
from engine.run.failure import sentence
from engine.run.outcome import FORMAT, write_outcome
from engine.run.outcome import outcome as outcome_of
from engine.run.refused import leave_refused
from engine.run.resume import resume_of
from engine.training.early_end import early_end
from engine.training.lightning_internals import end_other_processes

NAMES = ("experiment", "name", "tags", "notes")
"""Root keys that describe a run."""


class Record:
    """Context of one run; on any exit, metrics.json gets the run's status and results."""

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.directory = Path(cfg.run_dir)
        self.metrics: dict[str, Any] = {}
        self.data: dict[str, str] = {}
        self.resume = resume_of(cfg)
        self.checkpoint = self.resume.checkpoint if self.resume else None
        self._seconds_before = 0.0
        if self.resume:  # if the run was killed, metrics.json may be older than the checkpoint
            self._seconds_before = max(outcome_of(self.directory).get("seconds", 0.0), self.resume.seconds)
        self.trainer: Any = None
        self.is_first_process = is_first_process()

    @property
    def seconds(self) -> float:
        """Duration of the whole run so far, including the time before it was resumed."""
        return self.clock()

    @property
    def clock(self) -> Callable[[], float]:
        """Returns `seconds`; also works in processes that Lightning starts."""
        return partial(_seconds_since, self.started - self._seconds_before)

    @property
    def pruned(self) -> bool:
        """Whether a search stopped the run early (engine/sweep/search/pruning.py)."""
        return any(getattr(callback, "pruned", False) for callback in getattr(self.trainer, "callbacks", ()))

    @property
    def stopped(self) -> str | None:
        """Why the training ended early; None if it did not, or if a search pruned it."""
        return None if self.trainer is None or self.pruned else early_end(self.trainer)

    @property
    def best_was_selected(self) -> bool:
        """Whether the best epoch was chosen among several by a metric of the validation examples."""
        trainer: Any = self.trainer
        every, share = trainer.check_val_every_n_epoch, trainer.val_check_interval
        once = isinstance(every, int) and self.metrics["epochs"] // every == 1 and type(share) is float and share == 1
        keys = ("trainer.check_val_every_n_epoch", "trainer.val_check_interval")
        changed = self.resume is not None and any(key in self.resume.changes for key in keys)
        return (changed or not once) and any(name.startswith("best/val") for name in self.metrics)

    def checkpoint_folders(self) -> list[Path]:
        """Where checkpoints may be saved: the run directory, and directories of the user's callbacks."""
        kept = getattr(self.trainer, "checkpoint_callbacks", ())
        return [self.directory, *(Path(callback.dirpath) for callback in kept if getattr(callback, "dirpath", None))]

    def name_data(self, name: str, source: str, classes: Sequence[str] = ()) -> None:
        """Records the run's data; on stand-in data, the run directory is renamed to say so.

        UserError if a resumed run had other data.
        """
        self.data = {"name": name, "source": source}
        is_new_stand_in = source == "stand-in" and not self.directory.name.endswith("_stand-in")
        if is_new_stand_in and self.checkpoint:
            raise UserError(
                f"resume={self.directory}: the run used real data, which is no longer in "
                f"{self.cfg.datamodule.data_dir}: give datamodule.data_dir=DIR."
            )
        if self.resume:
            self.resume.check_classes(classes)
        if is_new_stand_in and self.is_first_process:
            self._rename(self.directory.with_name(f"{self.directory.name}_stand-in"))

    def _rename(self, directory: Path) -> None:
        self.directory.rename(directory)
        self.directory = directory
        if self.resume:  # from the beginning: the run was killed before it was renamed
            self.resume.directory = directory
        hydra: Any = HydraConfig.get()
        with read_write(hydra), open_dict(self.cfg):
            hydra.runtime.output_dir = str(directory.absolute())
            hydra.run.dir = str(directory)
            self.cfg.run_dir = str(directory.absolute())

    def __enter__(self) -> "Record":
        self.started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_first_process:
            return
        if error is not None and self.trainer is not None:
            end_other_processes(self.trainer)
        if error is not None and self.resume and not self.resume.committed:
            self.resume.undo()
            return
        if error is None:
            outcome: dict[str, Any] = {"status": "pruned" if self.pruned else "completed"}
            outcome |= {"stopped": self.stopped} if self.stopped else {}
        else:
            from engine.process.stop import Interrupted

            status = "interrupted" if isinstance(error, KeyboardInterrupt | Interrupted) else "failed"
            outcome = {"status": status, "error": f"{type(error).__name__}: {sentence(error, self.cfg) or error}"}
            if self.trainer is not None and not self.metrics:
                module = self.trainer.lightning_module  # None before the training
                self.metrics = collect_metrics(self.trainer, module) | best_so_far(
                    self.trainer, self.cfg.monitor.metric
                )
        outcome |= self.metrics | self._circumstances()
        is_told = error is not None and outcome["status"] == "failed" and sentence(error, self.cfg)
        if is_told and (self.trainer is None or self.trainer.global_step == 0):
            leave_refused(self.directory, outcome)
        else:
            write_outcome(self.directory, outcome)

    def _circumstances(self) -> dict[str, Any]:
        from importlib.metadata import version

        node = self.cfg.get("network") or {}
        network = {"name": network_name(node), "substitute_for": node.get("substitute_for")}
        names = {key: self.cfg[key] for key in NAMES if key in self.cfg}
        return {
            "format": FORMAT,
            **{key: plain(value) for key, value in names.items()},
            "seconds": round(self.seconds, 3),
            "data": self.data,
            "network": network,
            "seed": self.cfg.seed,
            "git": git_commit(),
            "torch": version("torch"),
            "lightning": version("pytorch-lightning"),
        } | self._training()

    def _training(self) -> dict[str, Any]:
        """The data's size and the machine; empty if the run was not trained."""
        if self.trainer is None:
            return {}
        return {
            "counts": counts_of(getattr(self.trainer, "datamodule", None)),
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {usable_cores()} cores",
        }


@cache
def git_commit() -> str | None:
    """The commit of the project's checkout, with `-dirty` if files differ; None outside a checkout.

    It is looked up once per process, whose code stays as it was imported.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def best_checkpoint(trainer: Any, metric: str | None) -> Any:
    """The callback that saves the best epoch by `metric`; None if there is none."""
    kept = trainer.checkpoint_callbacks if metric else ()
    return next((callback for callback in kept if getattr(callback, "monitor", None) == metric), None)


def best_so_far(trainer: Any, metric: str | None) -> dict[str, float | None]:
    """`{"best/<metric>": value}` (None before the first validation); empty if no best epoch is saved."""
    callback = best_checkpoint(trainer, metric)
    if callback is None:
        return {}
    score = callback.best_model_score
    return {f"best/{metric}": None if score is None else float(score)}


def recall_training(record: Record, module: Any) -> None:
    """Restores the state of a training in spawned processes (ddp_spawn) from their last checkpoint."""
    from engine.checkpoints.checkpoint_io import load_checkpoint

    trainer, last = record.trainer, record.directory / "checkpoints" / "last.ckpt"
    if trainer.global_step or not last.is_file():
        return
    checkpoint = load_checkpoint(last, module.device)
    trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"])
    for callback in trainer.callbacks:
        if callback.state_key in checkpoint["callbacks"]:
            callback.load_state_dict(checkpoint["callbacks"][callback.state_key])
    module.on_load_checkpoint(checkpoint)


def restore_best(trainer: Any, module: Any, monitor: DictConfig) -> dict[str, Any]:
    """Loads the best epoch's weights into `module`, if kept; returns its number, from 1, and its monitored value."""
    from engine.checkpoints.architecture import load_weights
    from engine.checkpoints.checkpoint_io import load_checkpoint

    callback = best_checkpoint(trainer, monitor.metric)
    if callback is None:
        return {}
    if not callback.best_model_path:
        return {f"best/{monitor.metric}": None, "best/epoch": None}
    checkpoint = load_checkpoint(Path(callback.best_model_path), module.device, parts=("state_dict", "epoch"))
    module.on_load_checkpoint(checkpoint)
    load_weights(module, checkpoint["state_dict"])
    return {**best_so_far(trainer, monitor.metric), "best/epoch": checkpoint["epoch"] + 1}


def collect_metrics(trainer: Any, module: Any = None) -> dict[str, Any]:
    """All metrics of the last epoch by their TensorBoard names, the number of epochs, and the throughput.

    With a `module`, also those logged before the training was resumed, if it has them.
    """
    metrics: dict[str, Any] = {}
    for name, value in {**getattr(module, "logged_before", {}), **trainer.callback_metrics}.items():
        number = float(value)
        if name != "step":  # not a metric but the x-axis of the others
            metrics[name] = number if math.isfinite(number) else str(number)
    rates = [c.images_per_second for c in trainer.callbacks if hasattr(c, "images_per_second")]
    return metrics | {"epochs": trainer.current_epoch, "images_per_second": rates[0] if rates else None}


def _seconds_since(started: float) -> float:
    return time.monotonic() - started
