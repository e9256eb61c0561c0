"""What the tests' sweeps meet with: `+callback.accident._target_=tests.sweep_accidents.Accident`."""

import os
import signal
import sys
import time
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from datamodules.regression import Regression


class Accident(Callback):
    """In the second epoch of the runs with these seeds an exception, an exit, and a kill."""

    def __init__(self, *, seed: int, raises: int, exits: int, killed: int) -> None:
        self.seed, self.raises, self.exits, self.killed = seed, raises, exits, killed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch != 1:
            return
        if self.seed == self.raises:
            raise ValueError("this seed is\nnot liked")
        if self.seed == self.exits:
            sys.exit(3)
        if self.seed == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)


class Hold(Callback):
    """In its fourth epoch the run with this seed writes its process into the file, and waits until that is gone."""

    def __init__(self, *, seed: int, held: int, file: str) -> None:
        self.is_held, self.file = seed == held, Path(file)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 3 and self.is_held and self.file.exists():
            self.file.write_text(str(os.getpid()))
            while self.file.exists():
                time.sleep(0.05)


class DrawnDataModule(Regression):
    """Data that says it stands in for other data."""

    source = "stand-in"
