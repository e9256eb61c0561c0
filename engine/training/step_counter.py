from pytorch_lightning import Trainer


class StepCounter:
    """Tells when a training gets to a multiple of so many optimizer steps, or past one: a batch may make several."""

    def __init__(self) -> None:
        self._before = 0

    def start(self, trainer: Trainer) -> None:
        """Counts from where the training starts, or goes on."""
        self._before = trainer.global_step

    def passes(self, trainer: Trainer, every: int) -> bool:
        """Whether it did since the last time that this was asked, or since the start."""
        before, self._before = self._before, trainer.global_step
        return trainer.global_step // every > before // every
