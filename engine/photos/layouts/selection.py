"""Which classes a data set is reduced to. Nothing here imports torch."""

import unicodedata
from collections.abc import Mapping, Sequence

Selection = Sequence[str] | Mapping[str, str | Sequence[str]]
"""`datamodule.classes`: names of classes, or for each class the folders that are merged into it."""


def composed(name: str) -> str:
    """A name in Unicode's form NFC; Macs write é as e plus an accent."""
    return unicodedata.normalize("NFC", name)


def members_of(wanted: Selection) -> dict[str, list[str]]:
    """The names of the folders that make up each class of a selection."""
    if not isinstance(wanted, Mapping):
        return {composed(str(name)): [composed(str(name))] for name in wanted}
    lists = {name: [members] if isinstance(members, str) else members for name, members in wanted.items()}
    return {composed(str(name)): [composed(str(member)) for member in members] for name, members in lists.items()}
