"""Keeps the best checkpoints; the best one is always best.ckpt."""

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from engine.checkpoints.architecture import steps_of
from engine.checkpoints.checkpoint_io import name_also, previous

BEST = "best.ckpt"


def roll_back(checkpoints: Path, steps: int, kept: str) -> None:
    """Restores the best.ckpt of a training that continues after `steps`, if the current one was saved later.

    `kept` is the path of the best checkpoint at that time, which may have another name.
    """
    best = checkpoints / BEST
    if steps_of(best) <= steps:
        return
    sources = [path for path in (Path(kept), previous(best)) if path != best and path.is_file()]
    source = next((path for path in sources if steps_of(path) <= steps), None)
    if source is None:
        best.unlink()
    else:
        name_also(source, best, copied=True)


class Checkpoint(ModelCheckpoint):
    """A ModelCheckpoint whose best is always `<dirpath>/best.ckpt`, even after the run directory was moved.

    With another `filename`, or several checkpoints, best.ckpt is a second name (hard link) of the best one. If there
    are several Checkpoints, the first one owns it. Lightning's class forgets its best checkpoint if `dirpath` changes,
    and with a fixed file name and `save_top_k` above 1, does not keep the best under that name.
    """

    def __init__(self, *, filename: str | None = "best", save_top_k: int = 1, **settings: Any) -> None:
        if filename == "best" and save_top_k not in (0, 1):  # each needs its own name
            filename, settings["auto_insert_metric_name"] = "epoch_{epoch:03d}", False
        super().__init__(filename=filename, save_top_k=save_top_k, **settings)

    def _update_best_and_save(self, current: Tensor, trainer: Any, monitor_candidates: dict[str, Tensor]) -> None:
        best = str(Path(str(self.dirpath), BEST))
        is_first = next(c for c in trainer.callbacks if isinstance(c, Checkpoint)) is self
        if is_first and self.filename != "best" and best in self.best_k_models:  # saved before save_top_k was changed
            self._rename(best, str(Path(str(self.dirpath), "earlier_best.ckpt")), trainer)
        super()._update_best_and_save(current, trainer, monitor_candidates)
        if is_first and self.best_model_path != best and trainer.is_global_zero:
            name_also(Path(self.best_model_path), Path(best), copied=True)

    def _rename(self, path: str, name: str, trainer: Any) -> None:
        if trainer.is_global_zero:
            name_also(Path(path), Path(name), copied=True)
        self.best_k_models[name] = self.best_k_models.pop(path)
        self.best_model_path = name if self.best_model_path == path else self.best_model_path
        self.kth_best_model_path = name if self.kth_best_model_path == path else self.kth_best_model_path

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        kept = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        ranked = sorted(kept, key=lambda path: float(kept[path]), reverse=self.mode == "max")
        if 0 < self.save_top_k < len(ranked):  # save_top_k was lowered
            ranked = ranked[: self.save_top_k]
        full = len(ranked) == self.save_top_k
        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                "best_model_path": self._here(state_dict["best_model_path"]),
                "kth_best_model_path": ranked[-1] if full else "",
                "kth_value": kept[ranked[-1]] if full else self.kth_value,
                "last_model_path": self._here(state_dict["last_model_path"]),
                "best_k_models": {path: kept[path] for path in kept if path in ranked},
            }
        )

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath), Path(path).name)) if path else path
