"""YAML of a stranger's: its depth and size are known before anything is made of it. Nothing here imports torch."""

from typing import Any

import yaml

from engine.errors import printable

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_VALUES, MAX_DEPTH = 20_000, 40


def require_plain_yaml(text: str | bytes) -> None:
    """ValueError where a text repeats a part of itself, or holds more values, or deeper ones, than a run's config.

    One list may stand for a thousand copies of itself, and so on, and brackets in brackets end the process: libyaml's
    callers recurse in C.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it repeats a part of itself by a YAML alias (*name), which no run's config does")
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError("it holds more values, or deeper ones, than a run's does")


def load_plain_yaml(text: str | bytes) -> Any:
    """What a text says. ValueError where it is no YAML, or none of a run."""
    try:
        require_plain_yaml(text)
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(printable(str(error).partition("\n")[0])) from error
