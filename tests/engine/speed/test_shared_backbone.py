import random

import pytest
import torch
from torch import nn

from engine.speed import shared_backbone
from engine.speed.shared_backbone import of_shared, on_shared_backbone
from networks.pretrained import Pretrained


@pytest.fixture(autouse=True)
def nothing_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_backbone, "_first", {})


def build() -> Pretrained:
    """Its backbone is drawn before its head, and then loaded."""
    backbone = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(20, 7))
    nn.init.normal_(backbone[3].weight)
    backbone.load_state_dict({name: torch.ones_like(value) for name, value in backbone.state_dict().items()})
    return Pretrained(backbone=backbone, num_features=7, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3)


def test_heads_are_drawn_as_on_a_backbone_of_their_own() -> None:
    backbones = set()
    for seed in (0, 1, 2, 1, 0):
        torch.manual_seed(seed)
        alone = build()
        expected = [*alone.state_dict().values(), *alone.buffers(), torch.get_rng_state()]
        torch.manual_seed(seed)
        network = on_shared_backbone("a", build)
        got = [*network.state_dict().values(), *network.buffers(), torch.get_rng_state()]
        assert len(got) == len(expected)
        assert all(map(torch.equal, got, expected))
        assert type(network) is Pretrained
        backbones.add(id(network.backbone))
        with torch.no_grad():
            network.head.weight.fill_(7)  # as training would
    assert len(backbones) == 1
    assert shared_backbone._first["a"] is not None


def test_another_key_has_another_backbone() -> None:
    first, second = (on_shared_backbone(key, build) for key in "ab")
    assert first.backbone is not second.backbone


def test_a_backbone_that_was_brought_to_another_type_is_shared_no_more() -> None:
    first = on_shared_backbone("a", build)
    first.to(torch.bfloat16)
    second = on_shared_backbone("a", build)
    assert second.backbone is not first.backbone
    assert second.head.weight.dtype == second.backbone[0].weight.dtype == torch.float32
    assert on_shared_backbone("a", build).backbone is second.backbone


def drawn_by_python() -> Pretrained:
    random.random()
    return build()


def drawn_otherwise() -> Pretrained:
    torch.randperm(5)
    return build()


def drawn_until_it_fits() -> Pretrained:
    network = build()
    while float(network.head.bias[0].detach()) < 0.1:
        nn.init.uniform_(network.head.bias)
    return network


def changed_afterwards() -> Pretrained:
    network = build()
    with torch.no_grad():
        network.head.weight.mul_(2)
    return network


@pytest.mark.parametrize(
    "make", [drawn_by_python, drawn_otherwise, drawn_until_it_fits, changed_afterwards, lambda: nn.Linear(2, 2)]
)
def test_what_cannot_be_drawn_again_is_built_again(make: object) -> None:
    first, second = (on_shared_backbone("a", make) for _ in range(2))  # type: ignore[arg-type]
    assert getattr(first, "backbone", first) is not getattr(second, "backbone", second)


def test_what_is_known_of_a_shared_backbone_is_found_once() -> None:
    found: list[int] = []

    def find() -> int:
        found.append(1)
        return len(found)

    shared, own = on_shared_backbone("a", build).backbone, build().backbone
    assert [of_shared(shared, "x", find) for _ in range(3)] == [1, 1, 1]
    assert [of_shared(own, "x", find) for _ in range(2)] == [2, 3]
