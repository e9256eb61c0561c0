"""The overrides of a sweep and the space of a search, in Hydra's override grammar."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from engine.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def last_of_each(
    params: Mapping[str, str] | None, arguments: Sequence[str], loader: ConfigLoader | None
) -> list[Override]:
    """The swept overrides: `params` of the sweeper's config, replaced by arguments with the same key."""
    preset = [f"{key}={value}" for key, value in (params or {}).items()]
    overrides = OverridesParser.create(loader).parse_overrides([*preset, *arguments])
    return list({override.get_key_element().lstrip("+"): override for override in overrides}.values())


def distribution(override: Override) -> "BaseDistribution":
    """The Optuna distribution of an override in Hydra's grammar.

    `a,b`, `choice(…)` and `glob(…)` are categories; `range(…)` are its numbers; `interval(a,b)` are the floats from a
    to b, `int(interval(a,b))` the integers; with `tag(log,…)` around it, the logarithm is uniform.

    Raises:
        UserError: another tag, or values that Optuna refuses.
    """
    from optuna.distributions import CategoricalDistribution

    value: Any = override.value()
    is_interval = isinstance(value, IntervalSweep)
    tags: set[str] = getattr(value, "tags", set())
    if tags - ({"log"} if is_interval else set()):
        raise UserError(f"{override.input_line}: the only supported tag is log, and only around an interval.")
    try:
        if is_interval:
            return _numbers(value.start, value.end, log="log" in tags)
        if isinstance(value, RangeSweep):
            values = sorted(value.range())
            return _numbers(values[0], values[-1], step=values[1] - values[0] if len(values) > 1 else 1)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except (ValueError, IndexError) as error:
        raise UserError(f"{override.input_line}: {error}") from error


def _numbers(low: Any, high: Any, **settings: Any) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    return (IntDistribution if isinstance(low, int) else FloatDistribution)(low, high, **settings)


def assignments(params: dict[str, Any]) -> list[str]:
    """Overrides that set these values; categories are in Hydra's grammar already."""
    return [f"{key}={value}" for key, value in params.items()]
