import pytest
import torch
from torch.autograd import gradcheck

from functional.distances import pairwise_squared_distance, pairwise_squared_distance_numpy


def draw(n: int = 7, m: int = 5, d: int = 3, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, dtype=dtype, generator=generator), torch.randn(m, d, dtype=dtype, generator=generator)


def naive(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.tensor(
        [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in y.tolist()] for p in x.tolist()],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_torch_and_numpy_agree_with_a_naive_loop(offset):
    x, y = (tensor + offset for tensor in draw())
    expected = naive(x, y)
    distance = pairwise_squared_distance(x, y)
    distance_numpy = torch.from_numpy(pairwise_squared_distance_numpy(x.numpy(), y.numpy()))
    torch.testing.assert_close(distance, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(distance_numpy, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(distance, distance_numpy, rtol=1e-6, atol=0)


def test_never_negative_even_where_the_expansion_cancels():
    x = 1e3 * draw(n=200, d=50, dtype=torch.float32)[0]
    expanded = x.square().sum(1)[:, None] + x.square().sum(1) - 2 * x @ x.T
    assert expanded.min() < 0, "the case should show the rounding that is guarded against"
    assert pairwise_squared_distance(x, x).min() >= 0
    assert pairwise_squared_distance_numpy(x.numpy(), x.numpy()).min() >= 0


def test_gradient():
    x, y = draw()
    assert gradcheck(pairwise_squared_distance, (x.requires_grad_(), y.requires_grad_()))


def test_gradient_between_equal_rows_is_zero():
    x = torch.ones(3, 2, requires_grad=True)
    pairwise_squared_distance(x, x).sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros(3, 2))


def test_memory_does_not_hold_the_differences():
    n, d = 256, 512
    x, _ = draw(n=n, d=d, dtype=torch.float32)
    x.requires_grad_()
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        pairwise_squared_distance(x, x)
    assert max(sizes) <= max(n * n, n * d)


def test_half_precision_and_autocast_compute_in_float32():
    x, y = draw(dtype=torch.float32)
    half_x, half_y = x.bfloat16(), y.bfloat16()
    expected = naive(half_x, half_y).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(pairwise_squared_distance(half_x, half_y), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            pairwise_squared_distance(half_x.float(), half_y.float()), expected, rtol=1e-5, atol=1e-5
        )
