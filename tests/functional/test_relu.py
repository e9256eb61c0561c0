import torch
from torch.autograd import gradcheck, gradgradcheck

from functional.relu import relu


def test_values_and_gradient_by_hand():
    x = torch.tensor([-2.0, -0.0, 0.0, 3.0], requires_grad=True)
    output = relu(x)
    output.backward(torch.tensor([10.0, 20.0, 30.0, 40.0]))
    assert output.tolist() == [0, 0, 0, 3]
    # Only a negative input stops the gradient.
    assert x.grad is not None
    assert x.grad.tolist() == [0, 20, 30, 40]


def test_derivatives_of_both_orders_away_from_zero():
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = (x + 0.1 * x.sign()).requires_grad_()
    assert gradcheck(relu, x)
    assert gradgradcheck(relu, x)


def test_the_incoming_gradient_is_not_written_to():
    x = torch.tensor([-1.0, 1.0], requires_grad=True)
    grad_output = torch.ones(2)
    relu(x).backward(grad_output)
    assert grad_output.tolist() == [1, 1]
