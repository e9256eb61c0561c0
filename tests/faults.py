"""Becomes sitecustomize.py of a process: the FAULT_NUMBER-th FAULT_CALL below FAULT_BELOW fails with FAULT_ERROR.

With FAULT_LASTS all later ones fail, too. `write` is to any file that was opened by its name; each call is counted on
its own.
"""

import builtins
import errno
import io
import os
from typing import Any

_BELOW, _CALL = os.path.realpath(os.environ["FAULT_BELOW"]), os.environ["FAULT_CALL"]
_NUMBER, _ERROR = int(os.environ["FAULT_NUMBER"]), os.environ["FAULT_ERROR"]
_LASTS = bool(os.environ.get("FAULT_LASTS"))
_count = 0


def _fail(call: str, place: Any) -> None:
    global _count
    place = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else os.path.abspath(os.fspath(place))  # noqa: PTH100, PTH115
    if call != _CALL or not str(place).startswith(f"{_BELOW}/"):
        return
    _count += 1
    if _count == _NUMBER or (_LASTS and _count > _NUMBER > 0):
        number = getattr(errno, _ERROR)
        raise OSError(number, os.strerror(number), place)


class _File:
    def __init__(self, file: Any, place: Any) -> None:
        self.__dict__.update(file=file, place=place)

    def write(self, data: Any) -> Any:
        _fail("write", self.place)
        return self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.file, name, value)

    def __enter__(self) -> Any:
        self.file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self.file.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self.file)


_open, _calls = io.open, {name: getattr(os, name) for name in ("open", "fsync", "replace", "mkdir", "link")}


def _opening(file: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
    if set(mode).isdisjoint("wxa+"):
        return _open(file, mode, *arguments, **more)
    if not isinstance(file, int):
        _fail("open", file)
    opened = _open(file, mode, *arguments, **more)
    return _File(opened, file) if _CALL == "write" else opened


def _failing(name: str) -> Any:
    def call(place: Any, *arguments: Any, **more: Any) -> Any:
        if name != "open" or arguments[0] & (os.O_WRONLY | os.O_RDWR):
            _fail(name, place)
        return _calls[name](place, *arguments, **more)

    return call


builtins.open = io.open = _opening  # type: ignore[assignment]
for _name in _calls:
    setattr(os, _name, _failing(_name))
