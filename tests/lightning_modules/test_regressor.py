from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn

from engine.data.tensor_loader import TensorDataLoader
from lightning_modules.regressor import Regressor
from tests.noise import PLAIN

INPUTS = torch.randn(13, 4, generator=torch.Generator().manual_seed(0))
TARGETS = torch.randn(13, 3, generator=torch.Generator().manual_seed(1))


def regressor(**changes: Any) -> Regressor:
    torch.manual_seed(0)
    settings = {
        "network": nn.Linear(4, 3),
        "loss": nn.MSELoss(reduction="sum"),
        "optimizer": partial(torch.optim.SGD, lr=0.0),
        **PLAIN,
    }
    return Regressor(**(settings | changes))


def test_mse_is_of_the_whole_split_and_loss_the_mean_of_the_batches() -> None:
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, **quiet)
    loader = TensorDataLoader(INPUTS, TARGETS, batch_size=5, shuffle=False, seed=0)
    module = regressor()
    trainer.fit(module, loader, loader)
    metrics = dict(trainer.callback_metrics)
    trainer.test(module, loader, verbose=False)
    metrics |= trainer.callback_metrics

    with torch.no_grad():
        squares = (module.network(INPUTS) - TARGETS).square()
    sums = [squares[start : start + 5].sum() for start in (0, 5, 10)]
    for split in ("train", "val", "test"):
        assert metrics[f"{split}/mse"].item() == pytest.approx(squares.mean().item(), rel=1e-5)
        expected = (5 * sums[0] + 5 * sums[1] + 3 * sums[2]) / 13
        assert metrics[f"{split}/loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_compile_takes_the_settings_of_torch_compile() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    module = regressor(compile={"backend": backend, "fullgraph": True})
    torch.testing.assert_close(module(INPUTS), regressor()(INPUTS))
    assert len(graphs) == 1


def test_init_draws_the_weights_anew() -> None:
    module = regressor(init="normal")
    torch.manual_seed(0)
    nn.Linear(4, 3)
    assert torch.equal(module.network.weight, torch.randn(3, 4))
    assert not module.network.bias.any()
