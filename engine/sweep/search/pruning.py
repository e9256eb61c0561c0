"""Prunes unpromising runs of a search."""

import logging
import math
from pathlib import Path

import optuna
from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial
from pytorch_lightning import Callback, LightningModule, Trainer

logger = logging.getLogger(__name__)


class Pruning(Callback):
    """Reports `metric` after each validation to an Optuna study, and stops training if its pruner gives the run up.

    The study's steps are epochs, so runs with different batch sizes are compared at the same epoch. A resumed run keeps
    what it already reported and adds the following epochs. With several processes, the first one talks to the study,
    and all of them stop together.

    Has no effect if `trial` is None (no search), if the study's file no longer exists (the run was moved), or if the
    trial is finished (the run was continued after the search).

    Args:
        metric: name of a validation metric.
        study: the study's journal file.
        study_name: its name in that file.
        trial: number of this run's trial.
        pruner: decides when to stop; None: never.
    """

    follows_chunks = True

    def __init__(
        self, *, metric: str, study: str, study_name: str, trial: int | None, pruner: BasePruner | None
    ) -> None:
        self.metric = metric
        self.study = Path(study)
        self.study_name = study_name
        self.trial_number = trial
        self.pruner = pruner or optuna.pruners.NopPruner()
        self.pruned = False
        self._trial: Trial | None = None
        self._reported: set[int] = set()  # epochs
        self._given_up = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and self.trial_number is not None:
            self._trial = self._running_trial(self.trial_number)

    def _running_trial(self, number: int) -> Trial | None:
        if not self.study.is_file():
            logger.warning("The study %s does not exist: the run continues without it.", self.study)
            return None
        storage = JournalStorage(JournalFileBackend(str(self.study)))
        study = optuna.load_study(study_name=self.study_name, storage=storage, pruner=self.pruner)
        frozen = study.get_trials(deepcopy=False)[number]
        self._reported = set(frozen.intermediate_values)
        self._given_up = bool(frozen.user_attrs.get("pruned"))  # before the run was killed
        return None if frozen.state.is_finished() else Trial(study, frozen._trial_id)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.trial_number is None or trainer.sanity_checking or self.metric not in trainer.callback_metrics:
            return
        given_up = self._report(float(trainer.callback_metrics[self.metric]), trainer.current_epoch)
        if trainer.strategy.broadcast(given_up):
            self.pruned = trainer.should_stop = True

    def _report(self, value: float, epoch: int) -> bool:
        """Whether to give the run up: its pruner says so, or the value is not finite."""
        if self._trial is None:
            return False
        if math.isfinite(value) and not self._given_up:
            if epoch not in self._reported:
                self._reported.add(epoch)
                self._trial.report(value, epoch)
            if not self._trial.should_prune():
                return False
        self._trial.set_user_attr("pruned", True)
        return True
