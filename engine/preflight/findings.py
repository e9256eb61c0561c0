"""The mistakes found in a config, one a key, each with the key that the user gave."""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationToMissingValueError, OmegaConfBaseException

from engine.wording import shown

UNKNOWN = object()
"""Stands for a value that is missing, or refers to something missing."""

REFERENCE = re.compile(r"\$\{([A-Za-z][\w.]*)\}")
MAX_LINES = 20


class Findings:
    """A config with all that can be resolved in plain containers (`values`), and the mistakes found in it so far."""

    def __init__(self, cfg: DictConfig) -> None:
        self.lines: dict[str, str] = {}
        self._taken_out: set[str] = set()
        raw = OmegaConf.to_container(cfg, resolve=False)
        assert isinstance(raw, dict)
        self.raw: dict[Any, Any] = dict(raw)
        self.values: dict[str, Any] = {}
        self.values = self._resolved(cfg, "")

    def add(self, key: str, text: str) -> None:
        """Notes a mistake, with the value that was given, at the key where it was given; the first one of each key."""
        key = self._origin(key)
        given = select(self.raw, key)
        text = text.removeprefix(f"{key.rpartition('.')[2]}: ")
        name = key if given is UNKNOWN or isinstance(given, Mapping) else f"{key}={shown(given)}"
        self.lines.setdefault(key, f"{name}: {text}")

    def take_out(self, key: str, text: str) -> None:
        """Notes a mistake that is one too many: without it, the rest may be as it should be."""
        self.add(key, text)
        parent, _, name = key.rpartition(".")
        select(self.values, parent).pop(name)
        self._taken_out.add(key)

    def any_below(self, key: str) -> bool:
        """Whether something at `key`, or that it refers to, is not as it should be."""
        text = str(select(self.raw, key))
        return any(
            line.startswith((f"{key}.", f"{key}[")) or line == key or f"${{{line}}}" in text
            for line in self.lines.keys() - self._taken_out
        )

    def message(self) -> str:
        lines = list(self.lines.values())
        more = [f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
        count = "a mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        return "\n".join([f"The config has {count}:", *(f"  {line}" for line in [*lines[:MAX_LINES], *more])])

    def _origin(self, key: str) -> str:
        """Where the value at `key` comes from: `seed` for `datamodule.seed: ${seed}`."""
        reference = REFERENCE.fullmatch(str(select(self.raw, key)))
        if reference and select(self.raw, reference[1]) is not UNKNOWN:
            return self._origin(reference[1])
        return key

    def _resolved(self, node: Any, path: str) -> Any:
        if isinstance(node, DictConfig):
            return {key: self._child(node, key, f"{path}.{key!s}" if path else str(key)) for key in node}
        if isinstance(node, ListConfig):
            return [self._child(node, index, f"{path}[{index}]") for index in range(len(node))]
        return node

    def _child(self, node: Any, key: Any, path: str) -> Any:
        if OmegaConf.is_missing(node, key):
            self.add(path, f"must be given: {path}=…")
            return UNKNOWN
        try:
            return self._resolved(node[key], path)
        except InterpolationToMissingValueError:  # which is told of already
            return UNKNOWN
        except InterpolationKeyError as error:
            self.add(
                path,
                re.sub(r"Interpolation key '(.*)' not found", r"refers to \1, which is not there", first_line(error)),
            )
            return UNKNOWN
        except OmegaConfBaseException as error:
            self.add(path, first_line(error))
            return UNKNOWN


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def select(node: Any, key: str) -> Any:
    """The value at a key as `a.b[0].c` in plain containers; UNKNOWN where there is none."""
    for part in re.findall(r"[^.\[\]]+", key):
        names = {str(key): key for key in node} if isinstance(node, Mapping) else {}  # a key may be a number
        if part in names:
            node = node[names[part]]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return UNKNOWN
    return node


def is_known(value: Any) -> bool:
    """Whether nothing in plain containers is UNKNOWN."""
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    return all(map(is_known, value)) if isinstance(value, list) else value is not UNKNOWN
