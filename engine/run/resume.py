"""Plans how to resume: compares the given settings with the checkpoint before anything is written."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer

from engine.checkpoints.alike import require_alike, require_all_alike, require_fitting, require_settings
from engine.checkpoints.best_checkpoint import roll_back
from engine.checkpoints.checkpoint_io import load_checkpoint, previous
from engine.checkpoints.content import require_shape
from engine.checkpoints.continuation import Curves, curve_sizes, open_behind, remove_cut_off_writes
from engine.errors import UserError, printable
from engine.files import replace_text
from engine.paths import command, typed
from engine.run.config_file import PENDING, complete_pending, flat, is_first_process, resolved, stored
from engine.run.data_facts import known_facts
from engine.run.outcome import outcome
from engine.run.trust.stored_config import read_run_config
from engine.training.early_end import has_stopped, is_lifted, lifting
from engine.training.loop_state import position
from engine.training.reschedule import Done, reschedule
from engine.wording import shown

ABOUT_THE_PROCESS = ("resume", "run_dir", "sweep", "experiment", "name", "tags", "notes")
"""Root keys that do not affect the training."""

FIXED = {
    "optimizer._target_": "its state does not fit another one",
    "optimizer.amsgrad": "its state depends on it",
    "lightning_module._target_": "its state does not fit another procedure",
    "init_from": "its weights come from the checkpoint",
}
"""Settings that cannot change on resume, with the reason."""

MAY_CHANGE_IN_AN_EPOCH = (
    *("data_dir", "num_workers", "worker_timeout", "eval_batch_size", "max_pixels", "keep_decoded", "index_dir"),
)
"""Settings of a datamodule that do not change an epoch's batches."""

SHARES = ("devices", "num_nodes", "limit_train_batches", "overfit_batches", "accumulate_grad_batches")
"""Trainer settings that change an epoch's batches or steps."""

OF_OPTIMIZATION = ("optimizer", "scheduler", "lightning_module", "trainer", "datamodule", "features")
"""Groups that may affect the learning rate, directly or by the number of steps."""

IMPLEMENTATIONS = ("fused", "foreach", "capturable", "differentiable")
"""Optimizer settings that determine where its state is kept; they are set before it is loaded."""

OF_THE_MACHINE = ("accelerator", "devices", "num_nodes", "strategy", "enable_progress_bar", "enable_model_summary")
"""Trainer settings for the hardware and the display."""


class Resume(Callback):
    """Continues a run from its last checkpoint with any changed settings.

    Built from a config with `resume`; UserError for changes that are impossible. Everything can be undone until the
    first checkpoint is saved. It must be the first callback, since it truncates the curves before anything is logged.
    """

    follows_chunks = True  # engine/training/steps/chunks.py

    def __init__(self, cfg: DictConfig) -> None:
        self.directory = Path(cfg.run_dir)
        # Only plain values: this object may be sent to other processes, which lack Hydra's resolvers.
        self._config, self._text = resolved(cfg), stored(cfg)
        self.committed = False
        self.curves: Curves | None = None
        self._schedules: list[dict[str, Any]] = []
        self._optimizers: list[dict[str, Any]] = []
        self._planned_steps: Any = None
        complete_pending(self.directory)
        before = read_run_config(self.directory, f"resume={self.directory}", to_compare=True)
        before.run_dir = cfg.run_dir
        old, new = flat(resolved(before)), flat(self._config)
        keys = [key for key in {**old, **new} if key.partition(".")[0] not in ABOUT_THE_PROCESS]
        self.changes = {k: (old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)}
        last = self.directory / "checkpoints" / "last.ckpt"
        self.checkpoint = last if last.is_file() or previous(last).is_file() else None
        self.epochs = self.steps = 0
        self.seconds = 0.0
        self.in_epoch = False
        self._sizes: dict[str, int] = {}
        self._present = curve_sizes(self.directory)
        self._best = ""
        if self.checkpoint is not None:
            state = load_checkpoint(self.checkpoint)
            require_shape(state, self.checkpoint, to_resume=True)
            self._read(state, self.checkpoint)
            self._refuse_impossible_changes()
        elif outcome(self.directory).get("status") == "completed":
            raise UserError(
                f"resume={self.directory}: the run is complete and kept no last.ckpt to continue from: start a new run."
            )

    def _read(self, state: dict[str, Any], file: Path) -> None:
        self.epochs, self.in_epoch = position(state["loops"]["fit_loop"])
        self.steps = state["global_step"]
        self.seconds = state.get("seconds", 0.0)
        self._sizes = state.get("curves", {})
        states = [known for known in state["callbacks"].values() if isinstance(known, dict)]
        self._best = next((path for known in states if (path := known.get("best_model_path"))), "")
        data = known_facts(state, file) or {}
        self.classes: list[str] | None = data.get("classes")

    # Refusals --------------------------------------------------------------------------------------------------------

    def _refuse_impossible_changes(self) -> None:
        trainer, before = self._config["trainer"], outcome(self.directory)
        is_done = before.get("status") in ("completed", "pruned")
        for key, done in (("max_epochs", self.epochs), ("max_steps", self.steps)):
            end = trainer.get(key)
            if end is None or end < 0:
                continue
            if end < done or (end == done and self.in_epoch and key == "max_epochs"):
                raise UserError(
                    f"trainer.{key}={end}: {self.directory} has trained {done} already: give more, or start a new run."
                )
            if end == done and is_done:
                self._finish(f"all its {done} {key.removeprefix('max_')}")
        ending = lifting(self._config) if before.get("stopped") else []
        is_still_ended = bool(ending) and not any(is_lifted(override, self.changes) for override in ending)
        if is_done and (is_still_ended or not self.changes):
            self._finish(f"{self.epochs} epoch{'' if self.epochs == 1 else 's'} and stopped early", ending)
        for key, (old, new) in self.changes.items():
            if reason := self._reason(key, old, new):
                raise UserError(f"{key}={shown(new)}: the run in {self.directory} has {shown(old)}, {reason}.")

    def _finish(self, trained: str, ending: Sequence[str] = ()) -> None:
        """Ends the process, as there is nothing left to train before what ended the run is lifted."""
        key = "max_steps" if "steps" in trained else "max_epochs"
        more = 2 * (self.steps if key == "max_steps" else self.epochs)
        overrides = " ".join(map(shlex.quote, ending or [f"trainer.{key}={more}"]))
        again = f"{command('train.py')} resume={typed(self.directory)} {overrides}"
        if given := ", ".join(key for key in self.changes if not is_of_the_machine(key)):
            raise UserError(f"{given}: the run has trained {trained}, so this changes nothing; train on: {again}")
        print(printable(f"The run is finished: it has trained {trained}. Train on: {again}"))
        sys.exit(0)

    def _reason(self, key: str, old: Any, new: Any) -> str | None:
        """Why a setting cannot change on resume; None if it can."""
        if key in FIXED and not (key == "init_from" and new is None):
            more = "start a new run from its weights" if key != "init_from" else "leave it out"
            return f"and keeps it, since {FIXED[key]}: {more}" + (
                f" (init_from={typed(self.directory)})" if key != "init_from" else ""
            )
        if key == "lightning_module.param_groups" and _layers(old) != _layers(new):
            return "and its optimizer's state has these groups: only their settings can change"
        if self._best and key.startswith("callback.") and key.endswith(".dirpath"):
            return f"and its best checkpoint so far is {self._best}"
        group, _, name = key.partition(".")
        in_order = group == "datamodule" and name not in MAY_CHANGE_IN_AN_EPOCH
        in_order |= key == "seed" or (
            group == "features" and name not in ("cache_dir", "precision", "engine", "max_epochs")
        )
        if self.in_epoch and (in_order or (group == "trainer" and name in SHARES)):
            return (
                f"and was stopped in the middle of epoch {self.epochs + 1}, whose batches would change: finish that "
                f"epoch first, with trainer.max_epochs={self.epochs + 1}"
            )
        return None

    def check_classes(self, classes: Any) -> None:
        """UserError if the data's classes are no longer those that the run was trained on."""
        if self.checkpoint and self.classes is not None and list(classes) != list(self.classes):
            raise UserError(
                f"resume={self.directory}: the run was trained on the classes {', '.join(self.classes)}, but "
                f"the data now has {', '.join(classes)}."
            )

    def rows(self) -> dict[str, str]:
        """Rows of the start panel: where the training continues, and what has changed."""
        if self.checkpoint is None:
            return {"resumed": "from the beginning: nothing had been saved"}
        lines = [f"{key}: {shown(old)} → {shown(new)}" for key, (old, new) in self.changes.items()]
        within = f", after step {self.steps}" if self.in_epoch else f", step {self.steps + 1}"
        return {"resumed": f"from epoch {self.epochs + 1}{within}"} | ({"changed": "\n".join(lines)} if lines else {})

    # What is written, and when ---------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and is_first_process() and self.curves is None:
            remove_cut_off_writes(self.directory)
            self.curves = Curves(self.directory, self._sizes, self._present)
            if self.checkpoint is not None:
                roll_back(self.directory / "checkpoints", self.steps, self._best)
            open_behind(trainer.loggers)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if not self.committed and trainer.is_global_zero:
            replace_text(self.directory / PENDING, self._text)

    def saved(self, path: Path) -> None:
        """Called after each saved checkpoint; the first `last.ckpt` makes the changes permanent."""
        if not self.committed and path.name == "last.ckpt":
            self.committed = True
            complete_pending(self.directory)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.committed and trainer.is_global_zero:  # no callback saves a last.ckpt
            self.committed = True
            replace_text(self.directory / "config.yaml", self._text)
            (self.directory / PENDING).unlink(missing_ok=True)

    def undo(self) -> None:
        """Restores the directory after a failure before the first save."""
        (self.directory / PENDING).unlink(missing_ok=True)
        (self.curves or Curves(self.directory, self._present, self._present)).undo()

    # What is restored ------------------------------------------------------------------------------------------------

    def _changes_in(self, *groups: str) -> list[str]:
        return [key for key in self.changes if key.partition(".")[0] in groups]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            require_alike(checkpoint["callbacks"].get(callback.state_key), callback, f"callbacks.{callback.state_key}")
        self._change_callbacks(trainer, checkpoint["callbacks"])
        self._schedules, self._optimizers = checkpoint["lr_schedulers"], checkpoint["optimizer_states"]
        if not self._changes_in(*OF_OPTIMIZATION):
            return
        checkpoint["lr_schedulers"] = []
        new = {n: self.changes[k][1] for n in IMPLEMENTATIONS if (k := f"optimizer.{n}") in self.changes}
        for state in checkpoint["optimizer_states"]:
            for group in state["param_groups"]:
                group |= {name: value for name, value in new.items() if name in group}

    def _change_callbacks(self, trainer: Any, states: dict[str, Any]) -> None:
        """Applies changed settings to the saved states of callbacks."""
        for name in {key.split(".")[1] for key in self._changes_in("callback")} & set(self._config["callback"]):
            members = self._config["callback"]
            target = members[name].get("_target_")
            alike = [other for other in members if members[other].get("_target_") == target]
            class_name = str(target).rpartition(".")[2]
            callbacks = [c for c in trainer.callbacks if type(c).__name__ == class_name]
            if len(callbacks) != len(alike):
                continue
            state = states.get(callbacks[alike.index(name)].state_key)
            for key in self._changes_in("callback"):
                _, member, *setting = key.split(".")
                if member != name or not isinstance(state, dict):
                    continue
                if len(setting) == 1 and setting[0] in state:
                    state[setting[0]] = self.changes[key][1]
                if "stopping_reason" in state and setting != ["patience"]:
                    state["stopping_reason"] = 0  # early stopping decides again, by its new settings

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._planned_steps = _total_steps(pl_module)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        all_saved = self.checkpoint is not None and not self._changes_in("optimizer", "scheduler", "lightning_module")
        require_all_alike(self._schedules, schedulers, "lr_schedulers", all_saved=all_saved)
        require_all_alike(self._optimizers, trainer.optimizers, "optimizer_states", all_saved=all_saved)
        for saved, optimizer in zip(self._optimizers, trainer.optimizers, strict=False):
            require_fitting(saved.get("state"), optimizer)
            require_settings(saved.get("param_groups"), optimizer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any(has_stopped(callback) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            trainer.should_stop = True  # decided at the end of the last epoch, before the run was interrupted
        # An earlier resume may have changed the number of steps per epoch, and so the remaining steps.
        is_uneven = self._planned_steps != _total_steps(pl_module)
        if self.checkpoint is not None and (is_uneven or self._changes_in(*OF_OPTIMIZATION)):
            done = Done(self.steps, self.epochs, self._schedules)
            kept = [key not in self.changes for key in ("optimizer.lr", "scheduler.interval")]
            same = not self._changes_in("optimizer", "scheduler", "lightning_module")
            reschedule(trainer, pl_module, done, keeps_rate=kept[0], same_interval=kept[1], same_settings=same)


def _total_steps(module: Any) -> Any:
    try:
        return module.total_steps()
    except (AttributeError, UserError):  # it has no such method, or trains without end
        return None


def is_of_the_machine(key: str) -> bool:
    """Whether a setting only concerns the data's location or the hardware, which is irrelevant to a finished run."""
    group, _, name = key.partition(".")
    of_group = {"datamodule": MAY_CHANGE_IN_AN_EPOCH, "trainer": OF_THE_MACHINE, "features": ("cache_dir",)}
    return name in of_group.get(group, ())


def _layers(groups: Any) -> list[Any]:
    """The pattern of each group."""
    return [group.get("pattern") for group in groups or ()]


def resume_of(cfg: DictConfig) -> Resume | None:
    """The plan of a config with `resume`; None for a new run."""
    return Resume(cfg) if OmegaConf.select(cfg, "resume") else None
