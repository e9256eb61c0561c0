from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def pairwise_squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of x (N, D) and of y (M, D), as (N, M), never negative.

    Expands |x - y|² = |x|² + |y|² - 2 x·y, so it needs O(N·M) memory, not O(N·M·D). What the expansion cancels is lost:
    the absolute error is about ε (|x|² + |y|²), so both sets are first moved to the mean of x, which keeps these norms
    small. The gradient 2 (x - y) is finite everywhere, also between equal rows.

    Computes in float32 at least, also under autocast: a product in bfloat16 would leave no digit of a small distance.
    """
    dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    x, y = x.to(dtype), y.to(dtype)
    centre = x.detach().mean(0)  # distances do not depend on it, so neither do their gradients
    x, y = x - centre, y - centre
    with torch.autocast(x.device.type, enabled=False):
        product = x @ y.T
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * product).clamp(min=0)


def pairwise_squared_distance_numpy(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """`pairwise_squared_distance` for NumPy arrays: x (N, D) and y (M, D) give (N, M), never negative."""
    centre = x.mean(0)
    x, y = x - centre, y - centre
    squared = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.maximum(squared, 0)
