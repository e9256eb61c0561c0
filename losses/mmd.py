from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor, nn

from functional.kernels import multi_kernel_gaussian


class MMDLoss(nn.Module):
    """Squared maximum mean discrepancy of two samples, source (N, D) and target (M, D), under a multi-kernel Gaussian.

    MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y) is zero if and only if both distributions are the same. There are two
    estimators (Gretton et al. 2012, "A kernel two-sample test", Lemma 6):

    - biased (V-statistic, equation 5): means over all pairs, including each point with itself. Nonnegative up to
      rounding, so it can be minimized to zero; its bias is O(1/N + 1/M). The usual training loss.
    - unbiased (U-statistic, equation 3): excludes pairs of a point with itself. It can be negative. N, M ≥ 2.

    Long et al. 2015 (deep adaptation networks) use it between the features of two domains.

    Args:
        kernel_mul: ratio of neighboring bandwidths, > 0.
        kernel_num: number of Gaussians, ≥ 1.
        fix_sigma: the middle bandwidth, a squared distance > 0; None: the mean squared distance in the batch.
        unbiased: use the unbiased estimator.
    """

    def __init__(
        self,
        *,
        kernel_mul: Annotated[float, Gt(0)],
        kernel_num: Annotated[int, Ge(1)],
        fix_sigma: Annotated[float, Gt(0)] | None,
        unbiased: bool,
    ) -> None:
        super().__init__()
        if kernel_mul <= 0 or kernel_num < 1 or (fix_sigma is not None and fix_sigma <= 0):
            raise ValueError(
                "MMDLoss needs kernel_mul > 0, kernel_num >= 1 and fix_sigma > 0 or null; "
                f"got {kernel_mul=}, {kernel_num=}, {fix_sigma=}"
            )
        self.kernel_mul = kernel_mul
        self.kernel_num = kernel_num
        self.fix_sigma = fix_sigma
        self.unbiased = unbiased

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The estimate, a scalar. Raises ValueError if a sample is too small."""
        n, m = len(source), len(target)
        if min(n, m) < 1 + self.unbiased:
            raise ValueError(f"MMDLoss needs at least {1 + self.unbiased} samples of each domain; got {n} and {m}")
        kernel = multi_kernel_gaussian(
            source, target, kernel_mul=self.kernel_mul, kernel_num=self.kernel_num, fix_sigma=self.fix_sigma
        )
        within_source, within_target, between = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
        return self._mean(within_source) + self._mean(within_target) - 2 * between.mean()

    def _mean(self, kernel: Tensor) -> Tensor:
        """Mean of one domain's kernel values (N, N); the unbiased estimator excludes the diagonal."""
        if not self.unbiased:
            return kernel.mean()
        count = len(kernel)
        return (kernel.sum() - kernel.trace()) / (count * (count - 1))
