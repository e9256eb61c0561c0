import torch
from torch import Tensor

from functional.distances import pairwise_squared_distance


def mean_bandwidth(squared_distance: Tensor) -> Tensor:
    """Mean of the squared distances (N, N), N ≥ 2, excluding the diagonal: a positive scalar without gradient.

    A data-driven bandwidth of a Gaussian kernel; Gretton et al. 2012 (section 8) use the median instead.
    """
    count = squared_distance.shape[0]
    mean = squared_distance.detach().sum() / (count * (count - 1))  # the diagonal is zero
    return mean.clamp(min=torch.finfo(mean.dtype).tiny ** 0.5)  # avoids 0/0 for equal rows


def multi_kernel_gaussian(
    source: Tensor, target: Tensor, *, kernel_mul: float, kernel_num: int, fix_sigma: float | None
) -> Tensor:
    """Sum of Gaussian kernels (N + M, N + M) between all rows of source (N, D) and target (M, D), source first.

    k(x, y) = Σᵢ exp(-|x - y|² / (b · mⁱ⁻ᶜ)) for i = 0 … K - 1, with m = `kernel_mul`, K = `kernel_num`, c = ⌊K / 2⌋ and
    the middle bandwidth b = `fix_sigma` (a squared distance, > 0), or `mean_bandwidth` if that is None. Values lie in
    (0, K], with K on the diagonal; the matrix is symmetric and positive semi-definite.

    Source: Gretton et al. 2012, "Optimal kernel choice for large-scale two-sample tests" (a sum of kernels); Long et
    al. 2015, "Learning transferable features with deep adaptation networks" (between domains). Here each kernel has
    weight 1.
    """
    rows = torch.cat([source, target])
    squared_distance = pairwise_squared_distance(rows, rows)
    middle = mean_bandwidth(squared_distance) if fix_sigma is None else fix_sigma
    bandwidths = [middle * kernel_mul ** (i - kernel_num // 2) for i in range(kernel_num)]
    return torch.stack([torch.exp(-squared_distance / bandwidth) for bandwidth in bandwidths]).sum(0)
