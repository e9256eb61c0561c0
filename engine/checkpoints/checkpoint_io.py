"""Saves checkpoints atomically, and verifies them when they are loaded."""

import hashlib
import io
import logging
import operator
import os
import secrets
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from engine.checkpoints.content import ArchiveError, own_paths, require_bounded, require_shape, require_stored
from engine.errors import UserError
from engine.files import PARTIAL, open_plain, read_plain, replacing

logger = logging.getLogger(__name__)

MARK = b"sha256:"
TRAILER = len(MARK) + hashlib.sha256().digest_size


LAST = "last.ckpt"

WHOLE = ("state_dict", "loops")
"""Parts of a checkpoint that cannot be loaded if anything is left out of them."""

PLAIN = (Tensor, nn.Parameter, bool, int, float, str, bytes, type(None))
"""Of the types that weights_only loads, the frequent ones."""

SHOWN = 4  # places of what is left out

REFUSED = object()
"""In place of a value that weights_only does not load."""

TEMPORARY = ".temp.ckpt"
"""Lightning's file for returning weights from forked or spawned processes (launchers/multiprocessing.py)."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """A kill or a full disk during saving leaves the previous file intact; damage is detected when loading.

    A checkpoint is written to a temporary file in the same directory, flushed to disk and renamed; the previous one is
    kept as `<name>.prev`. Its SHA-256 is appended to torch.save's archive, whose readers ignore it. Loading verifies
    it, falls back to `.prev`, and only reads tensors and plain containers (weights_only) from local files.

    Args:
        folders: returns the folders in which checkpoints may be saved and removed; None: anywhere. File names may
            contain metrics, and thus arbitrary text.
        saved: called with the path of each saved checkpoint.
    """

    def __init__(
        self, *, folders: Callable[[], Sequence[Path]] | None = None, saved: Callable[[Path], None] | None = None
    ) -> None:
        super().__init__()
        self.folders, self.saved = folders, saved
        self._told_of: set[str] = set()  # what is left out

    def remove_checkpoint(self, path: Any) -> None:
        self._require_inside(Path(path))
        super().remove_checkpoint(path)

    def _require_inside(self, path: Path) -> None:
        if path.name == TEMPORARY and path.is_relative_to(tempfile.gettempdir()):
            return
        folders = self.folders() if self.folders else [Path(path.absolute().anchor)]
        if not any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in folders):
            raise UserError(f"{path} is outside {folders[-1]}, where checkpoints belong: give another filename.")

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if storage_options is not None:
            raise TypeError("AtomicCheckpointIO only writes local files, without storage_options.")
        target = Path(path)
        self._require_inside(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        archive = io.BytesIO()
        torch.save(self._loadable(checkpoint), archive)
        with replacing(target) as file:
            file.write(archive.getbuffer())
            file.write(MARK + hashlib.sha256(archive.getbuffer()).digest())
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                _keep(target)
        if self.saved is not None:
            self.saved(target)

    def _loadable(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint without what could not be loaded again; UserError if it is needed."""
        left_out: dict[str, Any] = {}
        kept: dict[str, Any] = loadable(checkpoint, left_out)
        found = {place: f"{place} ({type(value).__name__})" for place, value in left_out.items()}
        if lost := [told for place, told in found.items() if place.partition(".")[0] in WHOLE]:
            raise UserError(f"Checkpoints can only hold tensors and plain values, and not {', '.join(lost)}.")
        # Of hyperparameters nothing is missed: a module is built from its run's config.
        new = [place for place in found if place not in self._told_of and not place.startswith("hyper_parameters.")]
        if new:
            self._told_of.update(new)
            names = ", ".join([*(found[place] for place in new[:SHOWN]), *(["…"] if len(new) > SHOWN else [])])
            logger.warning("Left out of checkpoints, which only hold tensors and plain values: %s.", names)
        return kept

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """The checkpoint at `path`, or the previous one. UserError if both are damaged; weights_only is always on."""
        return load_checkpoint(Path(path), map_location)


def loadable(content: Any, left_out: dict[str, Any], place: str = "") -> Any:
    """The content without what weights_only would refuse, such as a loss function that a module puts into checkpoints.

    What is left out is added to `left_out` by its place, as `callbacks.Mine.frame`. A list with such a member is left
    out as a whole. NumPy's numbers become Python's.
    """
    if type(content) in (dict, OrderedDict):
        children = {
            key: loadable(value, left_out, f"{place}.{key}" if place else str(key)) for key, value in content.items()
        }
        if all(children[key] is value for key, value in content.items()):
            return content  # with its attributes: a state dict has the versions of its modules
        return {key: value for key, value in children.items() if value is not REFUSED}
    if type(content) in (list, tuple):
        within: dict[str, Any] = {}
        members = [loadable(value, within, f"{place}.{number}") for number, value in enumerate(content)]
        if not any(value is REFUSED for value in members):
            left_out |= within
            return content if all(map(operator.is_, members, content)) else type(content)(members)
    elif isinstance(content, np.generic):
        return content.item()
    elif type(content) in PLAIN or _reads_back(content):
        return content
    left_out[place] = content
    return REFUSED


def _reads_back(value: Any) -> bool:
    """Whether weights_only loads such a value, as it does some of which there is no list."""
    archive = io.BytesIO()
    try:
        torch.save(value, archive)
        archive.seek(0)
        torch.load(archive, weights_only=True)
    except Exception:  # from pickle or torch, or from methods of the value
        return False
    return True


def load_checkpoint(path: Path, map_location: Any = "cpu", *, parts: Sequence[str] = ()) -> dict[str, Any]:
    """See AtomicCheckpointIO. UserError, too, if one of these `parts` is missing."""
    for candidate in (path, previous(path)):
        content = read_plain(candidate, memory()) if candidate.is_file() else b""
        archive, trailer = memoryview(content)[:-TRAILER], content[-TRAILER:]
        if trailer == MARK + hashlib.sha256(archive).digest():
            if candidate != path:
                logger.warning("%s is damaged or missing: continuing from %s.", path, candidate.name)
            checkpoint = _read(io.BytesIO(archive), candidate, map_location)
            require_shape(checkpoint, candidate)
            if missing := [part for part in parts if part not in checkpoint]:
                raise UserError(f"{candidate} is refused: its part {missing[0]} is missing.")
            return own_paths(checkpoint, path.absolute().parent)
    raise UserError(f"{path} is damaged or missing, and so is {previous(path).name}: there is no checkpoint to load.")


def _read(archive: io.BytesIO, path: Path, map_location: Any) -> dict[str, Any]:
    """Reads only tensors and plain values; the explicit argument overrides torch's environment variables."""
    try:
        require_stored(archive)
        checkpoint = torch.load(archive, map_location=map_location, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except ArchiveError as error:
        raise UserError(f"{path} is refused: {error}, as no checkpoint is.") from error
    except Exception as error:  # from pickle, zipfile or torch: a file with a valid checksum may still be foreign
        raise UserError(f"{path} is refused: it contains something other than tensors and plain values.") from error
    if not isinstance(checkpoint, dict):
        raise UserError(f"{path} is refused: it is not a checkpoint.")
    try:
        require_bounded(checkpoint)
    except ValueError as error:
        reason = "a string in it is not valid text" if isinstance(error, UnicodeError) else error
        raise UserError(f"{path} is refused: {reason}.") from error
    return checkpoint


def memory() -> int:
    """The machine's memory in bytes, the limit for files to read."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def previous(path: Path) -> Path:
    """The path of the checkpoint before the one at `path`."""
    return path.with_name(f"{path.name}.prev")


def _keep(target: Path) -> None:
    """Keeps the file as `.prev`, by a second name, so that the first is never without a checkpoint.

    Of several best checkpoints since last.ckpt was saved, only the first one replaces `.prev`: a resumed training goes
    back to last.ckpt, and to the best checkpoint of that time (roll_back in best_checkpoint.py).
    """
    last = target.with_name(LAST)
    both = target != last and previous(target).is_file() and last.is_file()
    if both and target.stat().st_mtime_ns > last.stat().st_mtime_ns:
        return
    if not name_also(target, previous(target)):
        target.replace(previous(target))


def name_also(path: Path, name: Path, *, copied: bool = False) -> bool:
    """Gives the file at `path` a second name, replacing any other file there.

    False if the file system has no hard links, unless it may be `copied`.
    """
    aside = name.with_name(f".{name.name}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        os.link(path, aside)
        aside.replace(name)
    except OSError:
        aside.unlink(missing_ok=True)
        if not copied:
            return False
        with open_plain(path) as source, replacing(name) as target:
            shutil.copyfileobj(source, target)
    return True
