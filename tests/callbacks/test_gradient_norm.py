import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from callbacks.gradient_norm import GradientNorm, gradient_norm
from tests.conftest import Train

STEPS = ("trainer=cpu", "trainer.max_epochs=2", "trainer.limit_val_batches=1", "callback=[default]")


def test_norm_is_that_of_all_gradients_as_one_vector() -> None:
    first, second = nn.Linear(3, 4), nn.Linear(4, 2)
    second(first(torch.ones(5, 3))).square().sum().backward()
    optimizer = torch.optim.SGD([{"params": first.parameters()}, {"params": second.parameters(), "lr": 0.1}], lr=0.2)
    second.bias.grad = None  # as of what takes no part
    entries = [g for p in (*first.parameters(), second.weight) for g in p.grad.flatten().tolist()]  # type: ignore[union-attr]
    assert float(gradient_norm(optimizer)) == pytest.approx(math.sqrt(sum(g * g for g in entries)))


def test_no_gradients_no_norm() -> None:
    assert float(gradient_norm(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))) == 0


class Logger:
    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.points.append((step, metrics["train/grad_norm"]))


def run(chunk: int, every: int, steps: int = 12) -> list[tuple[int, float]]:
    """A training whose step number t has the gradient (t, 0)."""
    logger, weight = Logger(), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    trainer: Any = SimpleNamespace(
        global_step=0, log_every_n_steps=every, optimizers=[optimizer], loggers=[logger], strategy=None
    )
    module: Any = SimpleNamespace(takes_chunks=chunk > 1)
    callback = GradientNorm()
    callback.on_train_start(trainer, module)
    while trainer.global_step < steps:
        for _ in range(chunk):
            weight.grad = torch.tensor([trainer.global_step + 1.0, 0.0])
            if chunk == 1:
                callback.on_before_optimizer_step(trainer, module, optimizer)
                weight.grad.clamp_(max=0.5)  # which comes after that hook
            trainer.global_step += 1
        callback.on_train_batch_end(trainer, module, None, None, 0)
    return logger.points


def test_a_point_each_so_many_steps_of_the_gradients_before_clipping() -> None:
    assert run(chunk=1, every=4) == [(4, 4), (8, 8), (12, 12)]


def test_chunks_have_the_point_of_their_last_step() -> None:
    assert run(chunk=3, every=4) == [(6, 6), (9, 9), (12, 12)]


@pytest.mark.parametrize("chunk", [1, 4])
def test_chunks_do_not_change_it(chunk: int, train_here: Train, tmp_path: Any) -> None:
    """The norm at steps 8 and 16 of one training."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = ("experiment=lenet_nll", "trainer=cpu", "datamodule.batch_size=80", "trainer.max_epochs=1")
    directory = train_here(tmp_path, *settings, f"datamodule.chunk={chunk}", "trainer.log_every_n_steps=8")
    points = EventAccumulator(str(directory)).Reload().Scalars("train/grad_norm")
    assert [point.step for point in points] == [8, 16]
    assert [point.value for point in points] == pytest.approx(expected_norms(), rel=1e-4)


def expected_norms() -> list[float]:
    """Of the same training as a plain loop."""
    from pytorch_lightning import seed_everything

    from datamodules.digits import Digits
    from networks.lenet import LeNet

    none: Any = None
    data = Digits(
        num_classes=10, val_size=180, test_size=360, flip="none", translate=2, cutout=0, mean=none, std=none,
        batch_size=80, eval_batch_size=180, drop_last=False, chunk=1, seed=0,
    )  # fmt: skip
    data.setup("fit")
    seed_everything(0, verbose=False)
    network = LeNet(in_channels=1, num_classes=10, activation="ReLU", log_softmax=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    norms = []
    for images, labels in data.train_dataloader():
        optimizer.zero_grad()
        nn.functional.nll_loss(network(images), labels).backward()
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in network.parameters())))  # type: ignore[union-attr]
        optimizer.step()
    return [norms[7], norms[15]]
