"""Collects the mistakes in a config, at most one per key, under the key that the user gave."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationToMissingValueError, OmegaConfBaseException

from engine.preflight.chosen import choice
from engine.wording import shown

UNKNOWN = object()
"""Placeholder for a value that is missing or refers to something missing."""

REFERENCE = re.compile(r"\$\{([A-Za-z][\w.]*)\}")
MAX_LINES = 20


class Findings:
    """A config in plain containers, resolved as far as possible (`values`), and the mistakes found so far.

    `elsewhere`: the run may take place on another machine, whose devices are not known here.
    """

    def __init__(self, cfg: DictConfig, *, elsewhere: bool = False) -> None:
        self.elsewhere = elsewhere
        self.lines: dict[str, str] = {}
        self._taken_out: set[str] = set()
        raw = OmegaConf.to_container(cfg, resolve=False)
        assert isinstance(raw, dict)
        self.raw: dict[Any, Any] = dict(raw)
        self.values: dict[str, Any] = {}
        self.values = self._resolved(cfg, "")

    def add(self, key: str, text: str) -> None:
        """Records a mistake under the key where its value was given; only the first one per key is kept."""
        key = self._origin(key)
        given = select(self.raw, key)
        if given == "" and not text.startswith("has no value"):
            text = f"has no value; it {text}" if text.startswith("must") else f"has no value; {text}"
        text = text.removeprefix(f"{key.rpartition('.')[2]}: ")
        name = key if given is UNKNOWN or isinstance(given, Mapping) else f"{key}={shown(given)}"
        self.lines.setdefault(key, f"{name}: {text}")

    def take_out(self, key: str, text: str) -> None:
        """Records a key that should not be there, and removes it from `values`, so the rest can still be checked.

        Its own name is recorded, even if it refers to another key: nothing is wrong with that one.
        """
        given = select(self.values, key)
        name = key if given is UNKNOWN or isinstance(given, Mapping) else f"{key}={shown(given)}"
        self.lines.setdefault(key, f"{name}: {text}")
        parent, _, name = key.rpartition(".")
        select(self.values, parent).pop(name)
        self._taken_out.add(key)

    def set_aside(self, path: str, names: Sequence[str], line: str) -> None:
        """Records one mistake for several settings of a part, and removes these from `values`."""
        self.lines.setdefault(path, line)
        for name in names:
            select(self.values, path).pop(name)
        self._taken_out.add(path)

    def any_below(self, key: str) -> bool:
        """Whether a mistake was found at or below `key`, or in something it refers to."""
        text = str(select(self.raw, key))
        return any(
            line.startswith((f"{key}.", f"{key}[")) or line == key or f"${{{line}}}" in text
            for line in self.lines.keys() - self._taken_out
        )

    def message(self) -> str:
        lines = list(self.lines.values())
        if len(lines) == 1:
            return lines[0]
        more = [f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
        heading = f"The config has {len(lines)} mistakes:"
        return "\n".join([heading, *(f"  {line}" for line in [*lines[:MAX_LINES], *more])])

    def _origin(self, key: str) -> str:
        """The key that an interpolation refers to: `seed` for `datamodule.seed: ${seed}`."""
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
        except InterpolationToMissingValueError:  # already reported
            return UNKNOWN
        except InterpolationKeyError as error:
            self.add(path, _dangling(path, first_line(error)))
            return UNKNOWN
        except OmegaConfBaseException as error:
            self.add(path, first_line(error))
            return UNKNOWN


def _dangling(path: str, text: str) -> str:
    """Describes an interpolation to a key that does not exist, such as a size that another part does not have."""
    found = re.search(r"Interpolation key '(.*)' not found", text)
    if found is None:
        return text
    other = found[1].partition(".")[0]
    chosen = choice(other)
    owner = f"which {other}={chosen} does not have" if chosen else "which does not exist"
    part = f", or choose another {path.partition('.')[0]}" if choice(path.partition(".")[0]) else ""
    return f"refers to {found[1]}, {owner}: give {path}=…{part}"


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def select(node: Any, key: str) -> Any:
    """The value at a key such as `a.b[0].c` in plain containers; UNKNOWN if there is none."""
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
    """Whether a value in plain containers contains nothing UNKNOWN."""
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    return all(map(is_known, value)) if isinstance(value, list) else value is not UNKNOWN
