"""Each regression experiment against its program as a plain PyTorch loop, from the same seed and initial weights.

What is left of the loss after 500 steps is the outputs' rounding in float32, so agreement to 1e-5 takes the same
kernels in the same order there: fused optimizers, weights as nn.Linear lays them out. (The runs then agree bit for
bit.) In float64 the loops are as plain as in the notes.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.data.keyed import keyed_generator
from tests.conftest import RunTrain, Train

STEPS, LAST = 500, 50  # LAST: the steps of the last epoch, whose mean loss is train/loss
Losses = tuple[float, float]  # as train/loss and val/loss


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """How sums are split among threads changes their rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def data(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = keyed_generator(0)
    x, y = torch.randn(64, 1000, generator=generator), torch.randn(64, 10, generator=generator)
    return x.to(dtype), y.to(dtype)


def fit(
    step: Callable[[Tensor, Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype
) -> Losses:
    """500 times `step`, which gives the loss before its update; then `loss`."""
    x, y = data(dtype)
    losses = [step(x, y).item() for _ in range(STEPS)]
    with torch.no_grad():
        return sum(losses[-LAST:]) / LAST, loss(x, y).item()


def module_loop(network: nn.Module, optimizer: torch.optim.Optimizer, dtype: torch.dtype) -> Losses:
    criterion = nn.MSELoss(reduction="sum")

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = criterion(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return fit(step, lambda x, y: criterion(network.eval()(x), y), dtype)


def descent(network: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), **{"lr": 1e-4, **settings})


class TwoLayerNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1000, 100)
        self.linear2 = nn.Linear(100, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.linear1(x).clamp(min=0))


def two_layer_net(dtype: torch.dtype) -> Losses:
    network = TwoLayerNet().to(dtype)
    return module_loop(network, descent(network), dtype)


def sequential(dtype: torch.dtype) -> Losses:
    network = nn.Sequential(nn.Linear(1000, 100), nn.ReLU(), nn.Linear(100, 10)).to(dtype)
    return module_loop(network, descent(network), dtype)


def adam(dtype: torch.dtype) -> Losses:
    network = nn.Sequential(nn.Linear(1000, 100), nn.ReLU(), nn.Linear(100, 10)).to(dtype)
    fused = dtype == torch.float32
    return module_loop(network, torch.optim.Adam(network.parameters(), lr=1e-4, fused=fused), dtype)


class LinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(input, weight)
        output = input.mm(weight.t())
        output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        input, weight = ctx.saved_tensors
        return grad.mm(weight), grad.t().mm(input), grad.sum(0)


class ByLinearFunction(TwoLayerNet):
    def forward(self, x: Tensor) -> Tensor:
        hidden = LinearFunction.apply(x, self.linear1.weight, self.linear1.bias).clamp(min=0)
        return LinearFunction.apply(hidden, self.linear2.weight, self.linear2.bias)


def custom_linear(dtype: torch.dtype) -> Losses:
    network = ByLinearFunction().to(dtype)
    return module_loop(network, descent(network), dtype)


class MyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        ctx.save_for_backward(input)
        return input.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input < 0] = 0
        return grad_input


def custom_relu(dtype: torch.dtype) -> Losses:
    nn.Linear(1000, 100, bias=False), nn.Linear(100, 10, bias=False)  # layers initialize themselves before `init` does
    w1, w2 = torch.randn(100, 1000).T.to(dtype), torch.randn(10, 100).T.to(dtype)
    if dtype == torch.float64:
        w1, w2 = w1.contiguous(), w2.contiguous()
    weights = [w1.requires_grad_(), w2.requires_grad_()]

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return (MyReLU.apply(x.mm(w1)).mm(w2) - y).pow(2).sum()

    def step(x: Tensor, y: Tensor) -> Tensor:
        before = loss(x, y)
        before.backward()
        with torch.no_grad():
            for w in weights:
                if dtype == torch.float64:
                    w -= 1e-6 * w.grad
                else:
                    w.add_(w.grad, alpha=-1e-6)  # rounded once, as optimizers do
                w.grad = None
        return before

    return fit(step, loss, dtype)


class DynamicNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_linear = nn.Linear(1000, 100)
        self.middle_linear = nn.Linear(100, 100)
        self.output_linear = nn.Linear(100, 10)
        self.draws = (int(torch.randint(4, (), generator=keyed_generator(0, i))) for i in range(STEPS))

    def depth(self, x: Tensor, reuses: int) -> Tensor:
        h_relu = self.input_linear(x).clamp(min=0)
        for _ in range(reuses):
            h_relu = self.middle_linear(h_relu).clamp(min=0)
        return self.output_linear(h_relu)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.depth(x, next(self.draws))
        return sum(self.depth(x, reuses) for reuses in range(4)) / 4


def dynamic(dtype: torch.dtype) -> Losses:
    network = DynamicNet().to(dtype)
    return module_loop(network, descent(network, momentum=0.9, fused=dtype == torch.float32), dtype)


PROGRAMS = {
    "two_layer_net": two_layer_net,
    "sequential": sequential,
    "adam": adam,
    "custom_linear": custom_linear,
    "custom_relu": custom_relu,
    "dynamic": dynamic,
    "static_graph": two_layer_net,
}


def losses(directory: Path) -> Losses:
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["status"] == "completed"
    return metrics["train/loss"], metrics["val/loss"]


@pytest.mark.parametrize(
    ("name", "precision", "dtype"),
    [
        *((name, "32-true", torch.float32) for name in PROGRAMS),
        *((name, "64-true", torch.float64) for name in ("adam", "custom_linear", "custom_relu", "dynamic")),
    ],
)
def test_ends_as_the_plain_loop_does(
    name: str, precision: str, dtype: torch.dtype, tmp_path: Path, train_here: Train
) -> None:
    directory = train_here(tmp_path, f"experiment=regression_{name}", "trainer=cpu", f"trainer.precision={precision}")
    torch.manual_seed(0)
    plain = PROGRAMS[name](dtype)
    assert plain[1] < 1  # of about 640 at the start
    assert losses(directory) == pytest.approx(plain, rel=1e-5)


def test_as_a_process_of_its_own(tmp_path: Path, run_train: RunTrain) -> None:
    done = run_train("experiment=regression_sequential", "trainer=cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    torch.manual_seed(0)
    (directory,) = tmp_path.glob("logs/regression_sequential/*")
    assert losses(directory) == pytest.approx(sequential(torch.float32), rel=1e-5)


def test_the_static_graph_is_one_graph(tmp_path: Path, train_here: Train) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    train_here(tmp_path, "experiment=regression_static_graph", "trainer=cpu", "trainer.max_epochs=2")
    assert not torch._dynamo.utils.counters["graph_break"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2  # one with gradients, one without


def test_a_resumed_dynamic_run_repeats_the_draws(tmp_path: Path, train_here: Train) -> None:
    overrides = ("experiment=regression_dynamic", "trainer=cpu")
    whole = train_here(tmp_path, *overrides, "trainer.max_epochs=4")
    resumed = train_here(tmp_path, *overrides, "trainer.max_epochs=2")
    train_here(tmp_path, f"resume={resumed}", "trainer.max_epochs=4")
    assert losses(resumed) == losses(whole)
