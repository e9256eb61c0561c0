import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, *, total_steps: int, warmup: float, end: float) -> LambdaLR:
    """The learning rate times a factor that rises linearly to 1, then falls along a half cosine; stepped every step.

    With w = int(warmup · total_steps), factor(s) = (s + 1) / (w + 1) for s < w, and from there on
    end + (1 - end) · (1 + cos(π · (s - w) / (total_steps - w))) / 2.

    Args:
        optimizer: its learning rates are those at the peak.
        total_steps: optimizer steps in the whole training, at least 1.
        warmup: share of the steps before the peak, in [0, 1).
        end: factor after the last step.
    """
    if total_steps < 1 or not 0 <= warmup < 1:
        raise ValueError(f"total_steps {total_steps} is below 1, or warmup {warmup} is not in [0, 1)")
    peak = int(warmup * total_steps)

    def factor(step: int) -> float:
        if step < peak:
            return (step + 1) / (peak + 1)
        return end + (1 - end) * (1 + math.cos(math.pi * min(1.0, (step - peak) / (total_steps - peak)))) / 2

    return LambdaLR(optimizer, factor)


def triangular(optimizer: Optimizer, *, total_steps: int, start: float, peak_at: float, end: float) -> LambdaLR:
    """Multiplies the learning rate by a factor that rises linearly to 1, then falls linearly; updated at every step.

    factor(0) = start, factor(int(peak_at · total_steps)) = 1, factor(total_steps and later) = end.

    Source: Jordan 2024, arXiv 2404.00498; airbench94 uses start 0.2, peak_at 0.23 and end 0.07.

    Args:
        optimizer: its learning rates are the peak values.
        total_steps: optimizer steps in the whole training, at least 1.
        start: factor at the first step.
        peak_at: position of the peak as a fraction of the steps, in [0, 1).
        end: factor after the last step.
    """
    if total_steps < 1 or not 0 <= peak_at < 1:
        raise ValueError(f"total_steps {total_steps} is below 1, or peak_at {peak_at} is not in [0, 1)")
    peak = int(peak_at * total_steps)

    def factor(step: int) -> float:
        if step < peak:
            return start + (1 - start) * step / peak
        return 1 + (end - 1) * min(1.0, (step - peak) / (total_steps - peak))

    return LambdaLR(optimizer, factor)
