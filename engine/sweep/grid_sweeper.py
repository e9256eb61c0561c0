"""Hydra's own sweeper, which runs all combinations, without its look at each job's config beforehand.

Hydra imports it at each start, through hydra_plugins/: nothing heavy at the top.
"""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


class GridSweeper(BasicSweeper):
    """Composes one config of each kind before the first job starts, where Hydra's composes all of them.

    That takes a sixth of a second a job. What cannot be composed is an unknown key or choice, and those are the same
    for jobs that differ in numbers alone.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        super().validate_batch_is_legal(one_of_each_kind(batch))


def one_of_each_kind(batch: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Of jobs (overrides) that differ in numbers alone, the first."""
    parser = OverridesParser.create()
    kinds = {text: _kind(parser, text) for text in {text for job in batch for text in job}}
    firsts = {tuple(kinds[text] for text in job): job for job in reversed(batch)}
    return list(firsts.values())[::-1]


def _kind(parser: OverridesParser, text: str) -> str:
    """The override, without its value if that is a number."""
    override = parser.parse_override(text)
    value = override.value()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(override.get_key_element()) if is_number else text
