"""Checks a checkpoint's structure and size, and confines its paths to its own run directory."""

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import torch
from annotated_types import Ge, Lt
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from engine.errors import UserError
from engine.paths import is_place

MAX_EXPANDED = 1 << 30
"""Bytes that tensors may exceed their storages by (with strides of 0), which a copy would need."""

MAX_ENTRIES, MAX_DEPTH = 10_000_000, 200
"""Limits for a checkpoint: lists may contain themselves, or share others any number of times."""

CONTAINERS = (dict, list, tuple, set, frozenset)
TOO_MANY = "it holds more entries, or deeper ones, than a run's checkpoint"

LOCATIONS = ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path")
"""Paths in the state of a ModelCheckpoint."""

MAX_COUNT, MAX_EPOCHS = 1 << 53, 10**9
Count = Annotated[int, Ge(0), Lt(MAX_COUNT)]
Epochs = Annotated[int, Ge(0), Lt(MAX_EPOCHS)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Current(_Part):
    """The numbers of epochs or batches that are ready, started, processed and completed; at most one is unfinished."""

    ready: Count
    started: Count
    processed: Count
    completed: Count

    @model_validator(mode="after")
    def _agree(self) -> "_Current":
        counts = (self.ready, self.started, self.processed, self.completed)
        if max(counts) - min(counts) > 1:
            raise ValueError("counts that contradict each other")
        return self


class _Progress(_Part):
    total: dict[str, Count]
    current: _Current


class _BatchProgress(_Progress):
    is_last_batch: bool


class _Total(_Part):
    completed: Count


class _Steps(_Part):
    total: _Total


class _OptimizerSteps(_Part):
    step: _Steps


class _Automatic(_Part):
    optimizer: _OptimizerSteps


class _Loop(_Part):
    epoch_progress: _Progress
    batch_progress: _BatchProgress = Field(alias="epoch_loop.batch_progress")
    automatic: _Automatic = Field(alias="epoch_loop.automatic_optimization.optim_progress")
    manual: _Steps = Field(alias="epoch_loop.manual_optimization.optim_step_progress")

    @property
    def steps(self) -> int:
        """The number of optimizer steps; each training counts them in one of the two places, or in both."""
        return max(self.automatic.optimizer.step.total.completed, self.manual.total.completed)


class _Loops(_Part):
    fit_loop: _Loop


def _counting(node: Any) -> Any:
    """ValueError if a loop's counter is negative, or exceeds its total, which could make the training endless."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for child in children:
        _counting(child)
    if isinstance(node, int) and not 0 <= node < MAX_COUNT:
        raise ValueError("is not a count")
    match node:
        case {"total": dict(total), "current": dict(current)}:
            numbers = [*total.values(), *current.values()]
            if not all(isinstance(number, int) for number in numbers):
                raise ValueError("is not a count")
            if total.keys() != current.keys() or any(total[key] < current[key] for key in total):
                raise ValueError("counts that contradict each other")
    return node


Seconds = Annotated[float, Ge(0), Lt(MAX_COUNT), AllowInfNan(False)]


class _Content(_Part):
    """The parts of a checkpoint; all are optional, since a frozen backbone's file has none of them."""

    state_dict: dict[str, Any] = {}
    hyper_parameters: dict[str, Any] = {}
    callbacks: dict[str, Any] = {}
    optimizer_states: list[dict[Any, Any]] = []
    lr_schedulers: list[dict[str, Any]] = []
    curves: dict[str, Count] = {}
    seconds: Seconds = 0.0
    throughput: dict[str, Seconds] = {}
    epoch: Epochs = 0
    global_step: Count = 0


class _Resumable(_Content):
    """The parts that resuming needs."""

    state_dict: dict[str, Any]
    callbacks: dict[str, Any]
    optimizer_states: list[dict[Any, Any]]
    lr_schedulers: list[dict[str, Any]]
    loops: Annotated[_Loops, BeforeValidator(_counting)]
    epoch: Epochs
    global_step: Count

    @model_validator(mode="after")
    def _agree(self) -> "_Resumable":
        if self.global_step != self.loops.fit_loop.steps:
            raise ValueError("counts that contradict each other")
        return self


class ArchiveError(ValueError):
    """An archive has compressed or overlapping parts."""


def require_stored(archive: BinaryIO) -> None:
    """ArchiveError if an archive would take more memory than its size; torch.save does not compress."""
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ArchiveError("it is compressed")
    if sum(entry.file_size for entry in entries) > archive.seek(0, os.SEEK_END):
        raise ArchiveError("its parts overlap")
    archive.seek(0)


def require_bounded(content: Any) -> None:
    """ValueError if a checkpoint has too many entries or too deep a nesting to be traversed, or invalid text.

    Since unpickled containers can share others, a small file can have an astronomical number of entries.
    """
    _entries(content, 0, {})


def _entries(node: Any, depth: int, known: dict[int, int]) -> int:
    """The number of entries in a container and its children; `known` has those already counted, by id."""
    count = len(node)
    for child in (*node, *node.values()) if isinstance(node, dict) else node:
        if isinstance(child, CONTAINERS):
            if id(child) not in known:
                if depth == MAX_DEPTH:
                    raise ValueError(TOO_MANY)
                known[id(child)] = _entries(child, depth + 1, known)
            count += known[id(child)]
        elif isinstance(child, str):
            child.encode("utf-8", errors="surrogateescape")  # file names that are not UTF-8 contain surrogates
    if count > MAX_ENTRIES:
        raise ValueError(TOO_MANY)
    return count


def require_shape(checkpoint: Mapping[str, Any], path: Path, *, to_resume: bool = False) -> None:
    """UserError if a part has another type than Lightning writes or, with `to_resume`, is missing."""
    try:
        (_Resumable if to_resume else _Content).model_validate(checkpoint)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = "missing" if first["type"] == "missing" else "not what a checkpoint contains"
        raise UserError(f"{path} is refused: its part {place} is {what}.") from error
    expanded = sum(
        max(0, tensor.numel() * tensor.element_size() - tensor.untyped_storage().nbytes())
        for tensor in _tensors(checkpoint)
        if tensor.layout is torch.strided
    )
    if expanded > MAX_EXPANDED:
        raise UserError(f"{path} is refused: its tensors exceed the file by {expanded:,} bytes.")


def _tensors(node: Any) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for child in children:
        yield from _tensors(child)


# Paths ----------------------------------------------------------------------------------------------------------------


def own_paths(checkpoint: dict[str, Any], checkpoints: Path) -> dict[str, Any]:
    """Replaces each path in the states of callbacks by that of the file with the same name in the run directory.

    Other paths are dropped: callbacks delete and overwrite the files in their states, which may come from a stranger.
    The files of a moved run are found again. `checkpoints` is the folder that the checkpoint was read from.
    """
    if "callbacks" not in checkpoint:
        return checkpoint
    run = next((parent for parent in (checkpoints, *checkpoints.parents) if parent.name == "checkpoints"), None)
    rebuilt = _rebuilt(checkpoint["callbacks"], "", run.parent if run else checkpoints)
    return checkpoint | {"callbacks": rebuilt}


def _rebuilt(node: Any, key: str, run: Path) -> Any:
    if isinstance(node, dict):
        names = {name: _rebuilt_key(name, key, run) for name in node}
        kept = [name for name in node if names[name] != "" or (name == "" and key != "best_k_models")]
        state = {names[name]: _rebuilt(node[name], str(name), run) for name in kept}
        best = state.get("best_k_models")
        if isinstance(best, dict) and best and state.get("kth_best_model_path") not in list(best):
            state["kth_best_model_path"] = next(iter(best))
        return state
    if type(node) in (list, tuple):
        return type(node)(_rebuilt(value, key, run) for value in node)
    if isinstance(node, str) and (key in LOCATIONS or node.endswith(".ckpt") or is_place(node)):
        return _found(node, run, is_folder=key == "dirpath")
    return node


def _rebuilt_key(name: Any, parent: str, run: Path) -> Any:
    is_path = isinstance(name, str) and (parent == "best_k_models" or is_place(name))
    return _found(name, run) if is_path and parent else name


def _found(name: str, run: Path, *, is_folder: bool = False) -> str:
    """The checkpoint (or folder) in the run directory whose path ends like `name`; empty if there is none."""
    parts = [part for part in re.split(r"[\\/]", name) if part not in ("", ".", "..")]
    if "\0" in name or any(len(os.fsencode(part)) > 250 for part in parts):
        return ""
    for start in range(len(parts)):
        path = run.joinpath(*parts[start:])
        files = (path, path.with_name(f"{path.name}.prev"))
        is_there = path.is_dir() if is_folder else path.suffix == ".ckpt" and any(file.is_file() for file in files)
        if is_there and path.resolve().is_relative_to(run.resolve()):
            return str(path)
    return ""
