from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing

from engine.training.each_process import of_each_process, of_this_process


def process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    saved = of_each_process({"sum": torch.tensor(rank), "more": [rank]})
    mine: Any = of_this_process(saved)
    assert mine == {"sum": torch.tensor(rank), "more": [rank]}
    assert of_this_process({"of_each_process": ["one"]}) == "one"
    torch.distributed.destroy_process_group()


def test_two_processes_have_theirs(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(process, args=(str(tmp_path),), nprocs=2)


def test_one_process_keeps_its_state_as_it_is() -> None:
    assert of_this_process(of_each_process({"sum": 1})) == {"sum": 1}
    assert of_this_process(None) is None
    assert of_this_process({"of_each_process": ["first", "second"]}) == "first"
