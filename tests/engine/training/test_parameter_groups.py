import pytest
import torch
from torch import nn

from engine.training.parameter_groups import counted, parameter_groups


@pytest.fixture
def network() -> nn.Module:
    return nn.ModuleDict({"stem": nn.Linear(2, 3), "norm": nn.BatchNorm1d(3), "head": nn.Linear(3, 2)})


def test_one_group_without_patterns(network: nn.Module) -> None:
    for groups in (None, []):
        (group,) = parameter_groups(network, groups)
        assert group.keys() == {"params"}
        assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]


def test_patterns_take_theirs_and_leave_the_rest(network: nn.Module) -> None:
    given = [{"pattern": "^head", "lr": 0.1}, {"pattern": r"norm\.(weight|bias)$", "weight_decay": 0.0}]
    head, norm, rest = parameter_groups(network, given)
    assert head == {"params": [network["head"].weight, network["head"].bias], "lr": 0.1}
    assert norm == {"params": [network["norm"].weight, network["norm"].bias], "weight_decay": 0.0}
    assert rest == {"params": [network["stem"].weight, network["stem"].bias]}
    assert given[0]["pattern"] == "^head", "what was given stays as it was"


def test_no_rest_where_patterns_take_all(network: nn.Module) -> None:
    assert len(parameter_groups(network, [{"pattern": "weight$"}, {"pattern": "bias$"}])) == 2


def test_frozen_parameters_are_in_no_group(network: nn.Module) -> None:
    network["stem"].requires_grad_(False)
    head, rest = parameter_groups(network, [{"pattern": "^head"}])
    assert len(head["params"]) == len(rest["params"]) == 2
    with pytest.raises(ValueError, match=r"'\^stem' matches no trainable parameter; there are norm.weight, "):
        parameter_groups(network, [{"pattern": "^stem"}])


def test_pattern_that_matches_nothing(network: nn.Module) -> None:
    with pytest.raises(
        ValueError, match=r"'tail' matches no trainable parameter; there are stem.weight, .* and 1 more\.$"
    ):
        parameter_groups(network, [{"pattern": "tail"}])


def test_parameter_that_two_patterns_match(network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"patterns '\^head' and 'bias\$' both match 'head\.bias'"):
        parameter_groups(network, [{"pattern": "^head"}, {"pattern": "bias$"}])
    with pytest.raises(ValueError, match=r"both match 'head\.weight'"):
        parameter_groups(network, [{"pattern": "^head"}, {"pattern": "^head"}])


def test_an_optimizer_takes_them(network: nn.Module) -> None:
    optimizer = torch.optim.SGD(parameter_groups(network, [{"pattern": "^head", "lr": 0.1}]), lr=0.01)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01]


def test_parameters_are_counted_where_they_are_made() -> None:
    layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1).requires_grad_(False))
    assert counted(layers) == "8 parameters trained, 3 frozen"
    for later in (nn.Sequential(nn.Linear(3, 2), nn.LazyLinear(2)), nn.Module()):
        assert counted(later) == "its parameters are made when it trains"
