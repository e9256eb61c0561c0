from pathlib import Path

import pytest
import torch
from torch import nn

from engine.checkpoints.architecture import differences, other_architecture, saved_shapes
from engine.checkpoints.checkpoint_io import AtomicCheckpointIO
from engine.run import failure


def network(width: int = 2, *, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width, bias=bias), nn.Linear(width, 1))


def test_entries_that_are_no_weights() -> None:
    assert differences(nn.Linear(1, 1), {"weight": {"a": 1}, "bias": torch.zeros(1)}) is not None  # type: ignore[dict-item]


def test_the_same_architecture() -> None:
    assert differences(network(), network().state_dict()) is None


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            network(5),
            "0.weight is (5, 3) in the checkpoint and (2, 3) in the network, 0.bias is (5,) in the "
            "checkpoint and (2,) in the network, 1.weight is (1, 5)",
        ),
        (network(bias=False), "0.bias is only in the network"),
        (
            nn.Sequential(*network(), nn.Linear(1, 1)),
            "2.weight is only in the checkpoint, 2.bias is only in the checkpoint",
        ),
    ],
)
def test_layers_that_differ_are_named_as_torch_finds_them(other: nn.Module, told: str) -> None:
    found = differences(network(), other.state_dict())
    assert found is not None
    assert found.startswith(told)
    with pytest.raises(RuntimeError) as caught:
        network().load_state_dict(other.state_dict())
    sentence = other_architecture(caught.value)
    assert sentence == f"The checkpoint has another architecture: {found}."
    assert failure.sentence(caught.value) == sentence


def test_many_layers_are_counted() -> None:
    other = nn.Sequential(*(nn.Linear(1, 1) for _ in range(6)))
    assert str(differences(network(), other.state_dict())).endswith(" and 7 more")


def test_other_errors_are_none() -> None:
    assert other_architecture(RuntimeError("shape '[2]' is invalid for input of size 3")) is None


def test_shapes_are_read_without_values(tmp_path: Path) -> None:
    module = nn.ModuleDict({"network": nn.ModuleDict({"head": nn.Linear(2, 1)}), "loss": nn.Linear(1, 1)})
    AtomicCheckpointIO().save_checkpoint({"state_dict": module.state_dict()}, tmp_path / "last.ckpt")
    AtomicCheckpointIO().save_checkpoint({"conv": torch.ones(4)}, tmp_path / "backbone.ckpt")
    shapes = saved_shapes(tmp_path, "last.ckpt")
    assert shapes is not None
    assert {name: tuple(tensor.shape) for name, tensor in shapes.items()} == {
        "head.weight": (1, 2),
        "head.bias": (1,),
        "backbone.conv": (4,),
    }
    assert {tensor.device.type for tensor in shapes.values()} == {"meta"}
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    assert saved_shapes(tmp_path, "last.ckpt") is None
