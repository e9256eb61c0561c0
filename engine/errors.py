"""Errors the user can fix. Their message is one sentence; the entry points print it alone and exit with 1."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def printable(text: object, kept: str = "") -> str:
    """A text for a terminal: what is shown may be a stranger's, and control characters act upon a terminal."""
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in str(text))


class UserError(Exception):
    """The root of them: names the key or file, what was found, what was expected and what to type."""

    def __init__(self, message: str) -> None:
        # A DataLoader re-raises a worker's exception with the worker's whole traceback as its message.
        super().__init__(printable(message.rpartition(f".{type(self).__name__}: ")[2].strip(), kept="\n"))


class DataError(UserError):
    """Data that is missing, damaged or unsuitable."""


class WeightsError(UserError):
    """Pretrained weights that are not available."""


class DivergenceError(UserError):
    """One of the losses (N,) of N consecutive training steps, the last of which is `last_step`, is NaN or infinite."""

    def __init__(self, losses: "Tensor", last_step: int, rates: list[float]) -> None:
        first = int((~losses.isfinite()).nonzero()[0])
        self.step = last_step - len(losses) + 1 + first
        super().__init__(
            f"The training loss is {losses[first].item()} at step {self.step}, with a learning rate of "
            f"{', '.join(f'{rate:g}' for rate in rates)}: give a smaller optimizer.lr, or a trainer.gradient_clip_val. "
            "The checkpoints are from before."
        )
