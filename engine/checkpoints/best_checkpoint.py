"""Which checkpoints are kept."""

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint


class Checkpoint(ModelCheckpoint):
    """A ModelCheckpoint that still knows its best after the run directory was moved.

    Lightning's forgets it where `dirpath` is not what it was, and overwrites the best file with the next one.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                "best_model_path": self._here(state_dict["best_model_path"]),
                "kth_best_model_path": self._here(state_dict["kth_best_model_path"]),
                "last_model_path": self._here(state_dict["last_model_path"]),
                "best_k_models": {self._here(path): score for path, score in state_dict["best_k_models"].items()},
            }
        )
        self.current_score = state_dict["current_score"]  # Lightning leaves it out

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath), Path(path).name)) if path else path
