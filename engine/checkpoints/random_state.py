"""Saves the states of random generators in checkpoints."""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from engine.checkpoints.alike import modified
from engine.errors import printable
from engine.training.each_process import of_each_process, of_this_process


class RandomState(Callback):
    """Restores the generators of PyTorch, NumPy and Python on resume.

    The project's procedures do not need this, as all their randomness is keyed, but other LightningModules do.
    """

    follows_chunks = True  # engine/training/steps/chunks.py

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        numpy_state: Any = np.random.get_state(legacy=True)
        _, keys, position, has_gauss, gauss = numpy_state
        state = {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            "numpy": (keys.tolist(), position, has_gauss, gauss),
            "python": random.getstate(),
        }
        checkpoint["random"] = of_each_process(state)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._saved = of_this_process(checkpoint.get("random"))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._saved is None:
            return
        try:
            _restore(self._saved)
        except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
            what = f"The checkpoint's states of the random generators cannot be restored ({printable(error)})"
            raise modified(what) from error
        self._saved = None


def _restore(saved: dict[str, Any]) -> None:
    torch.set_rng_state(saved["torch"].cpu())
    if len(saved["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda"]])
    keys, *rest = saved["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *rest))
    version, state, gauss = saved["python"]
    random.setstate((version, tuple(state), gauss))
