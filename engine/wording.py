"""How messages show values and suggest names."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def shown(value: Any) -> str:
    """As on a command line, but not at length, and on one line."""
    if isinstance(value, Mapping):
        return "{…}" if value else "{}"
    if isinstance(value, list):
        text = f"[{','.join(shown(element) for element in value)}]"
    elif value is None or isinstance(value, bool):
        text = "null" if value is None else str(value).lower()
    else:
        text = str(value)
    text = text if text.isprintable() else ascii(text)  # what is shown may be a stranger's
    return text if len(text) <= 60 else f"{text[:59]}…"


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean X?` where one of the names is like it, else what there is; for the end of a sentence."""
    known = sorted(set(names))
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"there are {shown}" if known else "there are none"
