"""Reads untrusted YAML, after checking its depth and size. Nothing here imports torch."""

from typing import Any

import yaml

from engine.errors import printable

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_VALUES, MAX_DEPTH = 20_000, 40


def require_plain_yaml(text: str | bytes) -> None:
    """ValueError if a text uses aliases, or has more values or deeper nesting than any run's config.

    Nested aliases can expand to billions of values, and deep nesting overflows the C stack of libyaml's callers.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it repeats a part of itself by a YAML alias (*name), which no run's config does")
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError("it holds more values, or deeper ones, than a run's does")


def load_plain_yaml(text: str | bytes) -> Any:
    """Loads a text that passes `require_plain_yaml`. ValueError if it does not, or if it is not YAML."""
    try:
        require_plain_yaml(text)
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(printable(str(error).partition("\n")[0])) from error
