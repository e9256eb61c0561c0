"""The engine's sweepers and launchers, where Hydra looks for them: it searches `hydra_plugins` and nothing else."""

from engine.sweep import grid_sweeper, launchers
from engine.sweep.search import optuna_sweeper


class GridSweeper(grid_sweeper.GridSweeper):
    __doc__ = grid_sweeper.GridSweeper.__doc__


class OptunaSweeper(optuna_sweeper.OptunaSweeper):
    __doc__ = optuna_sweeper.OptunaSweeper.__doc__


class JoblibLauncher(launchers.JoblibLauncher):
    __doc__ = launchers.JoblibLauncher.__doc__


class SubmititLauncher(launchers.SubmititLauncher):
    __doc__ = launchers.SubmititLauncher.__doc__


class RayLauncher(launchers.RayLauncher):
    __doc__ = launchers.RayLauncher.__doc__
