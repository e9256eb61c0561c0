"""Hydra's own sweeper, which runs all combinations, without its look at each job's config beforehand.

Hydra imports it at each start, through hydra_plugins/: nothing heavy at the top.
"""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from engine.config.sweep_job import one_of_each_kind


class GridSweeper(BasicSweeper):
    """Composes one config of each kind before the first job starts, where Hydra's composes all of them.

    That takes a sixth of a second a job. What cannot be composed is an unknown key or choice, and those are the same
    for jobs that differ in numbers alone.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        super().validate_batch_is_legal(one_of_each_kind(batch))
