import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.autograd import gradcheck

from losses.mmd import MMDLoss

SETTINGS = {"kernel_mul": 2.0, "kernel_num": 5, "fix_sigma": None, "unbiased": False}


def draw(n: int = 6, m: int = 4, d: int = 3, shift: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((n, d), (m, d))
    x, y = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    return x, y + shift


def naive(x, y, *, kernel_mul, kernel_num, fix_sigma, unbiased):
    """The estimate, pair by pair."""

    def squared(p, q):
        return sum((a - b) ** 2 for a, b in zip(p, q, strict=True))

    def kernel(p, q):
        exponents = range(-(kernel_num // 2), kernel_num - kernel_num // 2)
        return sum(math.exp(-squared(p, q) / (middle * kernel_mul**i)) for i in exponents)

    def within(points):
        pairs = [(i, j) for i in range(len(points)) for j in range(len(points)) if i != j or not unbiased]
        return sum(kernel(points[i], points[j]) for i, j in pairs) / len(pairs)

    x, y = x.tolist(), y.tolist()
    rows = x + y
    different = [squared(p, q) for i, p in enumerate(rows) for j, q in enumerate(rows) if i != j]
    middle = fix_sigma or sum(different) / len(different)
    between = sum(kernel(p, q) for p in x for q in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("fix_sigma", [None, 1.3])
@pytest.mark.parametrize("kernel_num", [2, 5])
def test_agrees_with_a_naive_double_loop(unbiased, fix_sigma, kernel_num):
    x, y = draw()
    settings = {**SETTINGS, "unbiased": unbiased, "fix_sigma": fix_sigma, "kernel_num": kernel_num}
    assert MMDLoss(**settings)(x, y).item() == pytest.approx(naive(x, y, **settings), rel=1e-6)


def test_zero_for_equal_samples_and_growing_with_the_shift():
    x, _ = draw(200)
    loss = MMDLoss(**{**SETTINGS, "fix_sigma": 6.0})
    values = [loss(x, x + shift).item() for shift in (0.0, 0.2, 0.5, 1.0)]
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values == sorted(values)


def test_bias_on_samples_of_one_distribution():
    values = {False: [], True: []}
    for seed in range(50):
        x, y = torch.randn(2, 10, 3, generator=torch.Generator().manual_seed(seed))
        for unbiased, estimates in values.items():
            estimates.append(MMDLoss(**{**SETTINGS, "fix_sigma": 6.0, "unbiased": unbiased})(x, y).item())
    biased, unbiased = torch.tensor(values[False]), torch.tensor(values[True])
    assert biased.min() > 0
    standard_error = unbiased.std() / math.sqrt(len(unbiased))
    assert abs(unbiased.mean()) < 3 * standard_error < biased.mean()


@pytest.mark.parametrize("unbiased", [False, True])
def test_gradient(unbiased):
    x, y = (tensor.requires_grad_() for tensor in draw())
    assert gradcheck(MMDLoss(**{**SETTINGS, "fix_sigma": 2.0, "unbiased": unbiased}), (x, y))


def test_descending_it_finds_the_shift_between_the_samples():
    x = draw(40)[0]
    shift = torch.full((3,), 3.0, dtype=torch.float64, requires_grad=True)
    loss = MMDLoss(**SETTINGS)
    optimizer = torch.optim.Adam([shift], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss(x, x + shift).backward()
        optimizer.step()
    assert shift.abs().max() < 0.01


@pytest.mark.parametrize("change", [{"kernel_mul": 0.0}, {"kernel_num": 0}, {"fix_sigma": 0.0}, {"fix_sigma": -1.0}])
def test_bad_settings(change):
    with pytest.raises(ValueError, match="kernel_mul > 0, kernel_num >= 1 and fix_sigma > 0"):
        MMDLoss(**{**SETTINGS, **change})


@pytest.mark.parametrize(("unbiased", "n", "m"), [(False, 0, 3), (True, 1, 3), (True, 3, 1)])
def test_too_few_samples(unbiased, n, m):
    loss = MMDLoss(**{**SETTINGS, "unbiased": unbiased})
    with pytest.raises(ValueError, match=f"at least {1 + unbiased} samples of each domain; got {n} and {m}"):
        loss(torch.zeros(n, 2), torch.zeros(m, 2))


def test_config():
    loss = instantiate(OmegaConf.load(Path(__file__).parents[2] / "conf/loss/mmd.yaml"))
    x, y = draw()
    assert loss(x, y).item() == pytest.approx(naive(x, y, **SETTINGS), rel=1e-6)
