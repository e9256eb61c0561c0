"""Paths in a checkpoint's states are data: they lead nowhere but into the run directory."""

import re
from pathlib import Path
from typing import Any

LEADS_AWAY = re.compile(r"^[/~\\]|^[A-Za-z]:[\\/]|(^|[\\/])\.\.([\\/]|$)|://|\$")
"""What looks like a place elsewhere: absolute, above, a URI, or for someone to expand."""


def with_own_paths(state: Any, directory: Path) -> Any:
    """A state's containers, whatever leads away replaced by what the run directory has under that name, or by "".

    So a moved run finds its own files, and a callback that deletes or overwrites what its state names, as Lightning's
    ModelCheckpoint does, finds nothing else.
    """
    if isinstance(state, str):
        return _own(state, directory) if LEADS_AWAY.search(state) else state
    if isinstance(state, list | tuple):
        return type(state)(with_own_paths(value, directory) for value in state)
    if not isinstance(state, dict):
        return state
    keys = {key: with_own_paths(key, directory) for key in state}
    return {keys[key]: with_own_paths(value, directory) for key, value in state.items() if keys[key] != "" or key == ""}


def _own(path: str, directory: Path) -> str:
    parts = [part for part in re.split(r"[\\/]", path) if part not in ("", ".", "..")]
    for start in range(len(parts)):
        found = directory.joinpath(*parts[start:])
        if found.exists() and not found.is_symlink():
            return str(found)
    return ""
