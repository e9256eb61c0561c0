from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def pairwise_squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances (N, M) between the rows of x (N, D) and of y (M, D), never negative.

    Expands |x - y|² = |x|² + |y|² - 2 x·y, which needs O(N·M) memory instead of O(N·M·D). Cancellation causes an
    absolute error of about ε (|x|² + |y|²), so the mean of x is subtracted from both sets first to keep the norms
    small. The gradient 2 (x - y) is finite everywhere, even for equal rows.

    Computes in float32 or higher precision, even under autocast: bfloat16 products would destroy small distances.
    """
    dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    x, y = x.to(dtype), y.to(dtype)
    centre = x.detach().mean(0)  # no effect on distances or their gradients
    x, y = x - centre, y - centre
    with torch.autocast(x.device.type, enabled=False):
        product = x @ y.T
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * product).clamp(min=0)


def pairwise_squared_distance_numpy(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """`pairwise_squared_distance` for NumPy arrays x (N, D) and y (M, D)."""
    centre = x.mean(0)
    x, y = x - centre, y - centre
    squared = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.maximum(squared, 0)
