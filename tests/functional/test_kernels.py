import math

import pytest
import torch

from functional.kernels import mean_bandwidth, multi_kernel_gaussian


def draw(n: int = 4, m: int = 3, d: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((n, d), (m, d))
    x, y = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    return x, y + 1


def naive(x, y, kernel_mul, kernel_num, fix_sigma):
    """The notes' kernel, point by point."""
    points = x.tolist() + y.tolist()
    count = len(points)
    squared = [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in points] for p in points]
    middle = fix_sigma if fix_sigma is not None else sum(map(sum, squared)) / (count**2 - count)
    smallest = middle / kernel_mul ** (kernel_num // 2)
    bandwidths = [smallest * kernel_mul**i for i in range(kernel_num)]
    return torch.tensor([[sum(math.exp(-d / b) for b in bandwidths) for d in row] for row in squared]).double()


@pytest.mark.parametrize("kernel_num", [1, 4, 5])
@pytest.mark.parametrize("fix_sigma", [None, 0.7])
def test_agrees_with_a_naive_loop(kernel_num, fix_sigma):
    x, y = draw()
    settings = {"kernel_mul": 2.0, "kernel_num": kernel_num, "fix_sigma": fix_sigma}
    torch.testing.assert_close(multi_kernel_gaussian(x, y, **settings), naive(x, y, **settings), rtol=1e-6, atol=1e-6)


def test_symmetric_positive_semi_definite_with_kernel_num_on_the_diagonal():
    kernel = multi_kernel_gaussian(*draw(20, 30), kernel_mul=2, kernel_num=5, fix_sigma=None)
    torch.testing.assert_close(kernel, kernel.T)
    assert torch.linalg.eigvalsh(kernel).min() > -1e-9
    torch.testing.assert_close(kernel.diagonal(), torch.full((50,), 5.0, dtype=torch.float64))


def test_the_bandwidth_follows_the_scale_of_the_data():
    x, y = draw()
    settings = {"kernel_mul": 2.0, "kernel_num": 5, "fix_sigma": None}
    torch.testing.assert_close(
        multi_kernel_gaussian(1000 * x, 1000 * y, **settings), multi_kernel_gaussian(x, y, **settings)
    )


def test_no_gradient_goes_through_the_bandwidth():
    x, y = draw()
    x.requires_grad_()
    squared = torch.cdist(torch.cat([x, y]), torch.cat([x, y])).square()
    assert not mean_bandwidth(squared).requires_grad
    # So the gradient is that of the same bandwidth held fixed.
    bandwidth = mean_bandwidth(squared).item()
    free = multi_kernel_gaussian(x, y, kernel_mul=2, kernel_num=5, fix_sigma=None)
    fixed = multi_kernel_gaussian(x, y, kernel_mul=2, kernel_num=5, fix_sigma=bandwidth)
    weights = torch.arange(49.0, dtype=torch.float64).view(7, 7)
    torch.testing.assert_close(torch.autograd.grad(free, x, weights), torch.autograd.grad(fixed, x, weights))


def test_equal_rows_give_a_kernel_of_ones_and_no_gradient():
    x = torch.full((3, 2), 0.3, requires_grad=True)
    kernel = multi_kernel_gaussian(x, x, kernel_mul=2, kernel_num=5, fix_sigma=None)
    kernel.sum().backward()
    assert kernel.eq(5).all()
    torch.testing.assert_close(x.grad, torch.zeros(3, 2))
