from pytorch_lightning import Trainer


class StepCounter:
    """Tells when the number of optimizer steps reaches or passes a multiple of n; a batch may make several."""

    def __init__(self) -> None:
        self._before = 0

    def start(self, trainer: Trainer) -> None:
        """Starts counting at the current step."""
        self._before = trainer.global_step

    def passes(self, trainer: Trainer, every: int) -> bool:
        """Whether a multiple of `every` was reached since the last call, or since the start."""
        before, self._before = self._before, trainer.global_step
        return trainer.global_step // every > before // every
