import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from engine.errors import UserError
from engine.sweep.search.search_space import distribution


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=a,b", CategoricalDistribution(["a", "b"])),
        ("x=choice(1,[2,3],{a:4})", CategoricalDistribution(["1", "[2,3]", "{a:4}"])),
        ("x='a b',null", CategoricalDistribution(["'a b'", "null"])),
        ("+x=interval(1,3)", FloatDistribution(1.0, 3.0)),
        ("x=int(interval(1,3))", IntDistribution(1, 3)),
        ("x=tag(log,interval(1e-4,1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("x=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("x=range(1,10)", IntDistribution(1, 9)),
        ("x=range(2,11,4)", IntDistribution(2, 10, step=4)),
        ("x=range(0.5,2,0.5)", FloatDistribution(0.5, 1.5, step=0.5)),
        ("x=range(3,0,-1)", IntDistribution(1, 3)),
    ],
)
def test_hydras_grammar_is_the_space(text: str, expected: BaseDistribution) -> None:
    assert distribution(OverridesParser.create().parse_override(text)) == expected


@pytest.mark.parametrize("value", ["tag(lgo,interval(1,2))", "tag(log,choice(1,2))", "interval(2,1)", "range(2,1)"])
def test_what_means_nothing_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(f'x={value}')}: "):
        distribution(OverridesParser.create().parse_override(f"x={value}"))
