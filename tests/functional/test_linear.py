import itertools

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from functional.linear import linear


def draw(*leading: int, d_in: int = 4, d_out: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((*leading, d_in), (d_out, d_in), (d_out,))
    return tuple(torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)  # type: ignore[return-value]


@pytest.mark.parametrize("leading", [(5,), (2, 3), ()])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_torch(leading, with_bias):
    tensors = [tensor.requires_grad_() for tensor in draw(*leading)[: 3 if with_bias else 2]]
    output, expected = linear(*tensors), F.linear(*tensors)
    torch.testing.assert_close(output, expected)
    grad_output = torch.randn_like(output)
    torch.testing.assert_close(
        torch.autograd.grad(output, tensors, grad_output), torch.autograd.grad(expected, tensors, grad_output)
    )


@pytest.mark.parametrize("needs", [needs for needs in itertools.product([True, False], repeat=3) if any(needs)])
def test_derivatives_of_both_orders_for_every_choice_of_needed_gradients(needs):
    tensors = [tensor.requires_grad_(need) for tensor, need in zip(draw(5), needs, strict=True)]
    assert gradcheck(linear, tensors)
    assert gradgradcheck(linear, tensors)


@pytest.mark.parametrize("needs", [needs for needs in itertools.product([True, False], repeat=3) if any(needs)])
def test_an_unneeded_gradient_is_not_computed(needs):
    n, d_in, d_out = 5, 4, 3
    tensors = [tensor.requires_grad_(need) for tensor, need in zip(draw(n), needs, strict=True)]
    output = linear(*tensors)
    with FlopCounterMode(display=False) as counter:
        output.backward(torch.ones_like(output))
    one_product = 2 * n * d_in * d_out
    assert counter.get_total_flops() == one_product * (needs[0] + needs[1])
    assert [tensor.grad is not None for tensor in tensors] == list(needs)


def test_what_no_gradient_needs_is_not_kept():
    input, weight, bias = draw(5)
    kept: list[tuple[int, ...]] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tuple(tensor.shape)), lambda _: None):
        linear(input, weight.requires_grad_(), bias)
    assert kept == [tuple(input.shape)]
