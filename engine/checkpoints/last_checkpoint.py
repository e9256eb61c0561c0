"""Saves the checkpoint to resume from, also on signals."""

import signal
import threading
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from annotated_types import Ge
from pytorch_lightning import LightningModule, Trainer, loggers
from pytorch_lightning.callbacks import Checkpoint

from engine.checkpoints.continuation import curve_sizes
from engine.loggers.csv_logger import CSVLogger
from engine.loggers.tensorboard_logger import TensorBoardLogger
from engine.process.stop import Interrupted, stop, stopping_signals
from engine.training.lightning_internals import after_batches, after_epochs, swap_averaged_weights
from engine.training.steps.step_counter import StepCounter


class LastCheckpoint(Checkpoint):
    """Saves `<dirpath>/last.ckpt` at points from which a resumed training is bit-identical, given ExactState.

    These are the end of each epoch and of the training, every `every_n_train_steps`-th optimizer step, and the batch in
    which SIGTERM, Ctrl-C or SIGHUP arrives: it is finished, and Interrupted is raised. A second signal stops at once.
    Nothing is saved on other failures, which may occur in the middle of a weight update.

    Unlike ModelCheckpoint, it does not save on arbitrary exceptions, and counts the steps within chunks.

    Args:
        dirpath: the folder of the checkpoints.
        every_n_epochs: save after every n-th epoch,
        min_seconds: unless the last save was more recent than this; saving can take longer than a short epoch.
        every_n_train_steps: also save within epochs, after every n-th optimizer step (with chunks: after the chunk
            that contains it); null: only after epochs.
    """

    follows_chunks = True

    def __init__(
        self,
        *,
        dirpath: str,
        every_n_epochs: Annotated[int, Ge(1)],
        min_seconds: Annotated[float, Ge(0)],
        every_n_train_steps: Annotated[int, Ge(1)] | None,
    ) -> None:
        self.path = Path(dirpath, "last.ckpt")
        self.every_n_epochs, self.min_seconds = every_n_epochs, min_seconds
        self.every_n_train_steps = every_n_train_steps
        self._steps = StepCounter()
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    # Signals ---------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        after_batches(trainer, self, partial(self._after_batch, trainer))
        after_epochs(trainer, self, partial(self._after_epoch, trainer))
        self._steps.start(trainer)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        if threading.current_thread() is threading.main_thread():
            asking = [*stopping_signals(), *([signal.SIGUSR1] if signal.getsignal(signal.SIGUSR1) is stop else [])]
            self._handlers = {number: signal.signal(number, self._note) for number in asking}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise Interrupted(number)
        self._signal = number

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self._saved_step:
            self._save(trainer)
        self._give_back_signals()
        if self._signal is not None:
            raise Interrupted(self._signal)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._give_back_signals()

    def _give_back_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _obey(self, trainer: Trainer) -> None:
        """Saves and stops if any process received a signal."""
        asked = self._signal is not None
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            if trainer.validating:
                swap_averaged_weights(trainer)
            self._save(trainer)
            raise Interrupted(self._signal or signal.SIGTERM)

    # Where to save ---------------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Stores the sizes of the curve files, so that a resumed run neither repeats nor misses a point."""
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, TensorBoardLogger | CSVLogger):
                logger.save()
            elif isinstance(logger, loggers.TensorBoardLogger):
                logger.experiment.flush()
        checkpoint["curves"] = curve_sizes(self.path.parents[1]) if trainer.is_global_zero else {}

    def _after_batch(self, trainer: Trainer) -> None:
        if steps_are_over(trainer):
            return
        self._obey(trainer)
        if self.every_n_train_steps is not None and self._steps.passes(trainer, self.every_n_train_steps):
            self._save(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        in_training = bool(self._handlers)
        if in_training and not steps_are_over(trainer):
            self._obey(trainer)

    def _after_epoch(self, trainer: Trainer) -> None:
        self._obey(trainer)
        epochs = trainer.current_epoch
        is_long_ago = trainer.strategy.broadcast(time.monotonic() >= self._saved_at + self.min_seconds)
        is_over = epochs == trainer.max_epochs or trainer.should_stop
        if is_over or (epochs % self.every_n_epochs == 0 and is_long_ago):
            self._save(trainer)


def steps_are_over(trainer: Trainer) -> bool:
    """Whether max_steps is reached; a checkpoint saved there would skip the last validation on resume."""
    return 0 <= trainer.max_steps <= trainer.global_step
