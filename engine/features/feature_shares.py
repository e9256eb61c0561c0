"""Features computed by several processes, each of which computes a share."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch.distributed
from torch import Tensor

from engine.features.feature_cache import cached_arrays, entry

ComputeShare = Callable[[dict[str, Tensor], int, int], None]


def arrays_in_shares(
    folder: Path, key: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], compute: ComputeShare
) -> dict[str, Tensor]:
    """`cached_arrays` for the n processes of a run: each computes every n-th row, then one process merges the rows.

    `compute(arrays, share, n)` fills arrays with the rows share, share + n, share + 2 n, … of the whole; n is 1 without
    a process group. If a machine cannot see the other machines' files, its merging process computes their rows too.
    """
    rank, size = 0, 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    if size == 1 or _first_finds(entry(folder, key)):
        return cached_arrays(folder, key, shapes, lambda arrays: compute(arrays, 0, 1))

    aside = entry(folder, key).with_suffix(".shares")

    def share_of(number: int) -> dict[str, Tensor]:
        rows = {name: (len(range(number, shape[0], size)), *shape[1:]) for name, shape in shapes.items()}
        return cached_arrays(
            aside, {**key, "share": [number, size]}, rows, lambda arrays: compute(arrays, number, size)
        )

    def put_together(arrays: dict[str, Tensor]) -> None:
        for number in range(size):
            for name, rows in share_of(number).items():
                arrays[name][number::size] = rows

    share_of(rank)
    torch.distributed.barrier()
    arrays = cached_arrays(folder, key, shapes, put_together)
    torch.distributed.barrier()
    shutil.rmtree(aside, ignore_errors=True)  # another process may have removed it
    return arrays


def _first_finds(directory: Path) -> bool:
    """Whether the first process has the directory; all processes must take the same branch."""
    found = [directory.is_dir()]
    torch.distributed.broadcast_object_list(found, src=0)
    return found[0]
