from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from callbacks.network_graph import NetworkGraph, network_graph
from tests.noise import classifier


class Small(nn.Module):
    """With a residual connection, a module that is used twice, dropout and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.same = nn.Conv2d(4, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = self.same(self.same(x)) + x
        logits: Tensor = self.head(self.drop(x.mean((2, 3))))
        return logits


def test_nodes_are_operations_in_the_scopes_of_their_modules() -> None:
    nodes = {node.name: node for node in network_graph(Small(), torch.zeros(1, 3, 8, 8)).node}
    assert {name: list(node.input) for name, node in nodes.items()} == {
        "input": [],
        "network/stem/0/conv2d": ["input"],
        "network/stem/1/batch_norm": ["network/stem/0/conv2d"],
        "network/stem/2/relu": ["network/stem/1/batch_norm"],
        "network/same/conv2d": ["network/stem/2/relu"],
        "network/same/conv2d_2": ["network/same/conv2d"],
        "network/add": ["network/same/conv2d_2", "network/stem/2/relu"],
        "network/mean": ["network/add"],
        "network/drop/dropout": ["network/mean"],
        "network/head/linear": ["network/drop/dropout"],
        "output": ["network/head/linear"],
    }
    (shape,) = nodes["network/stem/0/conv2d"].attr["_output_shapes"].list.shape
    assert [dim.size for dim in shape.dim] == [1, 4, 8, 8]


def test_the_network_stays_as_it_is() -> None:
    network = Small()
    network.stem.eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.get_rng_state()
    network_graph(network, torch.zeros(1, 3, 8, 8))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert (network.training, network.stem.training, network.stem[1].training) == (True, False, False)
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_network_that_fails_leaves_no_hooks() -> None:
    network = Small()
    with pytest.raises(RuntimeError):
        network_graph(network, torch.zeros(1, 5, 8, 8))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert network.training


def test_what_an_operation_gives_several_of_is_told_apart() -> None:
    class Split(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first, second = x.chunk(2, dim=1)
            return second.T @ first

    nodes = {node.name: list(node.input) for node in network_graph(Split(), torch.zeros(1, 4)).node}
    assert nodes["network/matmul"] == ["network/chunk:1", "network/chunk"]


def test_a_run_on_features_has_the_whole_network(events: EventAccumulator) -> None:
    names = {node.name for node in events.Graph().node}
    assert any(name.startswith("network/backbone/conv1/") for name in names)
    assert "network/head/linear" in names


class Foreign(LightningModule):
    """Its network does not take the data as it is."""

    compiled = False

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(192, 2)


@pytest.mark.parametrize(
    ("change", "drawn"),
    [
        ({}, 1),
        ({"ckpt_path": "last.ckpt"}, 0),
        ({"compiled": True}, 0),
        ({"shape": None}, 0),
        ({"loggers": []}, 0),
        ({"module": Foreign}, 0),
    ],
)
def test_where_it_is_drawn(change: dict[str, Any], drawn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[Any] = []
    writer = SimpleNamespace(add_event=added.append)
    logger = SimpleNamespace(experiment=SimpleNamespace(_get_file_writer=lambda: writer))
    usual = {"ckpt_path": None, "compiled": False, "shape": [3, 8, 8], "loggers": [logger], "module": classifier}
    settings: dict[str, Any] = usual | change
    module = settings["module"]()
    hparams = {"network": {"_target_": "x", "path": str(tmp_path)}, "data": {"input_shape": settings["shape"]}}
    module.save_hyperparameters(hparams)
    monkeypatch.setattr(module, "compiled", settings["compiled"])
    monkeypatch.setattr("callbacks.network_graph.tensorboard_loggers", lambda trainer: settings["loggers"])
    trainer: Any = SimpleNamespace(ckpt_path=settings["ckpt_path"], strategy=None)
    NetworkGraph().on_fit_start(trainer, module)
    assert len(added) == drawn
