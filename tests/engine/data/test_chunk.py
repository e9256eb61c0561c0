import torch
from pytorch_lightning.utilities import move_data_to_device
from torch.utils._pytree import tree_leaves

from engine.data.chunk import Chunk


def chunk() -> Chunk:
    made = Chunk()
    for value in range(3):
        made.append((torch.full((2,), float(value)), torch.tensor([value])))
    return made


def test_it_holds_its_batches_in_their_order() -> None:
    made = chunk()
    assert len(made) == 3
    assert [int(labels) for _, labels in made] == [0, 1, 2]
    assert int(made[1][1]) == 1


def test_libraries_take_it_for_one_thing() -> None:
    made = chunk()
    assert tree_leaves(made) == [made]


def test_lightning_moves_it_and_where_it_is_there_leaves_it() -> None:
    made = chunk()
    assert move_data_to_device(made, torch.device("cpu")) is made
    moved = move_data_to_device(made, torch.device("meta"))
    assert all(tensor.device.type == "meta" for batch in moved for tensor in batch)
    assert [len(batch) for batch in moved] == [2, 2, 2]
