from collections import Counter
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from networks.dynamic import DynamicNet

SETTINGS = {"d_in": 6, "hidden": 5, "d_out": 2, "max_reuses": 3, "seed": 0}


def draw() -> torch.Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def output_at(network: DynamicNet, x: torch.Tensor, reuses: int) -> torch.Tensor:
    h = network.input_linear(x).clamp(min=0)
    for _ in range(reuses):
        h = network.middle_linear(h).clamp(min=0)
    return network.output_linear(h)


def draws(network: DynamicNet, count: int) -> list[int]:
    return [network.draw_reuses() for _ in range(count)]


def test_config():
    network = OmegaConf.load(Path(__file__).parents[2] / "conf/network/dynamic.yaml")
    config = OmegaConf.create({"seed": 3, "datamodule": {"d_in": 1000, "d_out": 10}, "network": network})
    assert instantiate(config.network)(torch.zeros(64, 1000)).shape == (64, 10)


def test_training_output_has_the_drawn_depth():
    network, x = DynamicNet(**SETTINGS), draw()
    expected = draws(DynamicNet(**SETTINGS), 12)
    assert set(expected) == {0, 1, 2, 3}
    for reuses in expected:
        torch.testing.assert_close(network(x), output_at(network, x, reuses))


def test_evaluation_output_is_the_mean_over_depths_and_draws_nothing():
    network, x = DynamicNet(**SETTINGS).eval(), draw()
    expected = torch.stack([output_at(network, x, reuses) for reuses in range(4)]).mean(0)
    torch.testing.assert_close(network(x), expected)
    assert torch.equal(network(x), network(x))
    assert network.forwards == 0


def test_draws_are_uniform():
    counts = Counter(draws(DynamicNet(**SETTINGS), 2000))
    assert sorted(counts) == [0, 1, 2, 3]
    chi_squared = sum((count - 500) ** 2 / 500 for count in counts.values())
    assert chi_squared < 16.3  # the 0.1 % quantile of 3 degrees of freedom


def test_draws_depend_on_the_seed_and_not_on_the_global_generator():
    torch.manual_seed(1)
    first = draws(DynamicNet(**SETTINGS), 50)
    torch.manual_seed(2)
    assert draws(DynamicNet(**SETTINGS), 50) == first
    assert draws(DynamicNet(**{**SETTINGS, "seed": 1}), 50) != first


@pytest.mark.parametrize("interruption", [1, 7])
def test_a_resumed_network_repeats_the_draws(interruption):
    whole = draws(DynamicNet(**SETTINGS), 20)
    first = DynamicNet(**SETTINGS)
    begun = draws(first, interruption)
    resumed = DynamicNet(**SETTINGS)
    resumed.load_state_dict(first.state_dict())
    assert begun + draws(resumed, 20 - interruption) == whole


def test_without_reuse_the_middle_layer_has_no_gradient():
    network = DynamicNet(**{**SETTINGS, "max_reuses": 0})
    network(draw()).sum().backward()
    assert network.middle_linear.weight.grad is None
    assert network.output_linear.weight.grad is not None
