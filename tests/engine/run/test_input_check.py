"""A network that does not take the data's inputs is refused, and no other."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from engine.errors import UserError
from engine.run import input_check
from engine.run.input_check import check_input
from lightning_modules.classifier import Classifier
from networks.lenet import LeNet
from tests.conftest import ROOT

CONFIG = OmegaConf.create({"network": {"_target_": "networks.lenet.LeNet", "in_channels": 3}})


def checked(network: nn.Module, shape: tuple[int, ...] | None, *, of: Any = CONFIG) -> None:
    module = Classifier.__new__(Classifier)
    nn.Module.__init__(module)
    module.network = network
    check_input(of, module, {"name": "digits", "input_shape": shape})


def lenet() -> LeNet:
    return LeNet(in_channels=3, num_classes=10, activation="ReLU", log_softmax=False)


@pytest.fixture(params=["zeros", "meta"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks count as small, and then as large."""
    if request.param == "meta":
        monkeypatch.setattr(input_check, "LARGE", 0)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(UserError, match=r"network=lenet does not take inputs of shape \(1, 32, 32\), which digits has"):
        checked(lenet(), (1, 32, 32))
    with pytest.raises(UserError, match=r"shapes cannot be multiplied.*: give network\.in_channels=3 or another"):
        checked(lenet(), (3, 224, 224))
    with pytest.raises(UserError, match=r": give another network or datamodule\."):
        checked(nn.Linear(4, 2), (3,), of=OmegaConf.create({"network": {"_target_": "torch.nn.Linear"}}))


class OnlyOnACPU(nn.Module):
    """Looks at values, which the meta device does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) >= 0 else -x


class Broken(nn.Module):
    """Has a mistake of its own."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("not yet")


@pytest.mark.parametrize("network", [lenet(), OnlyOnACPU(), Broken(), nn.BatchNorm2d(3), nn.Dropout()])
def test_what_may_fit_passes_and_is_not_changed(network: nn.Module) -> None:
    before, state = {n: t.clone() for n, t in network.state_dict().items()}, torch.get_rng_state()
    checked(network, (3, 32, 32))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training


def test_what_cannot_be_known_passes() -> None:
    checked(lenet(), None)
    check_input(CONFIG, SimpleNamespace(network=lenet()), {"name": "digits", "input_shape": (1, 32, 32)})


def test_a_compiled_network_is_not_compiled_for_it() -> None:
    compiled: list[Any] = []
    network = lenet()
    network.compile(backend=lambda graph, inputs: compiled.append(graph) or graph.forward)
    checked(network, (3, 32, 32))
    assert not compiled
    with pytest.raises(UserError, match="shapes cannot be multiplied"):
        checked(network, (3, 224, 224))
    assert not compiled


SMALL = """
import sys
from engine.process.startup import prepare_imports
prepare_imports()
from tests.engine.run.test_input_check import checked, lenet
checked(lenet(), (3, 32, 32))
assert "sympy" not in sys.modules
"""


def test_a_small_network_needs_no_sympy() -> None:
    """Its import takes half a second."""
    done = subprocess.run([sys.executable, "-c", SMALL], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
