import torch
from torch import Tensor


class DivergenceError(ArithmeticError):
    """One of the losses (N,) of N consecutive training steps, the last one `last_step`, is NaN or infinite."""

    def __init__(self, losses: Tensor, last_step: int, rates: list[float]) -> None:
        first = int((~torch.isfinite(losses)).nonzero()[0])
        self.step = last_step - len(losses) + 1 + first
        super().__init__(
            f"The training loss is {losses[first].item()} at step {self.step}, with a learning rate of "
            f"{', '.join(f'{rate:g}' for rate in rates)}: give a smaller optimizer.lr, or a trainer.gradient_clip_val. "
            "The checkpoints are from before."
        )
