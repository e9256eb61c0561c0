"""Hydra's own sweeper, which runs all combinations, without its check of every job's config beforehand.

Hydra imports it at every start, through hydra_plugins/: nothing heavy at the top.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from engine.config.sweep_job import one_of_each_kind
from engine.sweep.search.search_space import last_of_each


class GridSweeper(BasicSweeper):
    """Hydra's BasicSweeper, but a setting on the command line replaces the one in the sweeper's config.

    Before the first job starts, it composes one config of each kind, where Hydra's composes all of them, at a sixth of
    a second per job. A config cannot be composed if a key or choice is unknown, and these are the same for jobs that
    differ only in numbers.
    """

    def sweep(self, arguments: list[str]) -> Any:
        assert self.hydra_context is not None
        overrides = last_of_each(self.params, arguments, self.hydra_context.config_loader)
        self.params = {}
        return super().sweep([str(override.input_line) for override in overrides])

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        super().validate_batch_is_legal(one_of_each_kind(batch))
