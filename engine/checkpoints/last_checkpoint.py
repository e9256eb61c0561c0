"""The checkpoint that a run goes on from, and the signals that make one at once."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from annotated_types import Ge
from pytorch_lightning import LightningModule, Trainer, loggers
from pytorch_lightning.callbacks import Checkpoint

from engine.checkpoints.continuation import curve_sizes
from engine.loggers.csv_logger import CSVLogger
from engine.loggers.tensorboard_logger import TensorBoardLogger
from engine.stop import Interrupted, stop
from engine.training.step_counter import StepCounter

STOPPING = (signal.SIGTERM, signal.SIGINT)


class LastCheckpoint(Checkpoint):
    """Saves `<dirpath>/last.ckpt` where a resumed training can go on to the same bits.

    That is after an epoch, after every `every_n_train_steps`-th optimizer step, at the end, and when SIGTERM or Ctrl-C
    came: those are noted while training and obeyed after the batch that is being worked on, with Interrupted. A second
    one is obeyed at once. Nothing is saved on other failures: an exception may have come amid an update of the weights.

    Not a ModelCheckpoint: that one saves on exceptions wherever they came, and counts chunks of steps as steps.

    Args:
        dirpath: where the checkpoints lie.
        every_n_epochs: save after each of so many epochs,
        min_seconds: unless the last save is not so long ago: where epochs are short, saving takes longer than they do.
        every_n_train_steps: save also within an epoch, after so many optimizer steps (in chunks of them: after the
            first chunk that makes so many); null: not.
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
        self._steps.start(trainer)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        if threading.current_thread() is threading.main_thread():
            asking = [*STOPPING, *([signal.SIGUSR1] if signal.getsignal(signal.SIGUSR1) is stop else [])]
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
        """Saves and stops, if any process was asked to."""
        asked = self._signal is not None
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            self._save(trainer)
            raise Interrupted(self._signal or signal.SIGTERM)

    # Where to save ---------------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notes how far the curves are written, so that a resumed run neither repeats nor leaves out a point."""
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, TensorBoardLogger | CSVLogger):
                logger.save()
            elif isinstance(logger, loggers.TensorBoardLogger):
                logger.experiment.flush()
        checkpoint["curves"] = curve_sizes(self.path.parents[1]) if trainer.is_global_zero else {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
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

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._obey(trainer)
        epochs = trainer.current_epoch + 1
        is_long_ago = trainer.strategy.broadcast(time.monotonic() >= self._saved_at + self.min_seconds)
        is_over = epochs == trainer.max_epochs or trainer.should_stop
        if is_over or (epochs % self.every_n_epochs == 0 and is_long_ago):
            self._save(trainer)


def steps_are_over(trainer: Trainer) -> bool:
    """Whether max_steps are made: from there Lightning would not go on, and the last validation would be missing."""
    return 0 <= trainer.max_steps <= trainer.global_step
